// Who is in the call, those who only watch too, and what a moderator may do about it.

/** @import { Meeting } from "../call/meeting.js" */
/** @import { Participant, Source } from "../call/wire.js" */

import { counted, hueOf, initialsOf } from "../words.js";
import { copyOf, toggle } from "./call-parts.js";
import { part } from "./part.js";

/**
 * @typedef {object} Wishes
 * @property {(participant: string, action: "mute" | "unpublish" | "kick", source?: Source) => void} moderate
 * @property {(locked: boolean) => void} lock
 * @property {() => void} end
 */

/** @type {Record<string, ["mute" | "unpublish" | "kick", Source?]>} */
const ACTS = {
  mute: ["mute", "microphone"],
  camera: ["unpublish", "camera"],
  screen: ["unpublish", "screen"],
  kick: ["kick"],
};
const ROLES = { moderator: "moderator", publisher: "", subscriber: "watching" };

export class CallPeople extends HTMLElement {
  /** @type {Wishes | null} */
  wishes = null;

  #dialog = part(this, "dialog", HTMLDialogElement);
  #entries = part(this, "[data-entries]", HTMLElement);
  #template = part(this, "[data-entry]", HTMLTemplateElement);
  #lock = part(this, "[data-lock]", HTMLButtonElement);
  /** @type {Map<string, HTMLElement>} */
  #items = new Map();
  /** @type {Meeting | null} */
  #meeting = null;

  constructor() {
    super();
    part(this, "[data-close]", HTMLElement).addEventListener("click", () => this.#dialog.close());
    this.#dialog.addEventListener("click", (event) => {
      if (event.target === this.#dialog) this.#dialog.close();
    });
    this.#lock.addEventListener("click", () => this.wishes?.lock(!this.#meeting?.locked));
    part(this, "[data-end]", HTMLElement).addEventListener("click", () => {
      if (confirm("End the call for everybody?")) this.wishes?.end();
    });
    this.#entries.addEventListener("click", (event) => this.#act(event));
  }

  open() {
    this.#dialog.showModal();
    if (this.#meeting) this.show(this.#meeting);
  }

  /** @param {Meeting} meeting */
  show(meeting) {
    this.#meeting = meeting;
    if (meeting.phase !== "in") this.#dialog.close();
    if (!this.#dialog.open) return;
    const { call, grants, locked } = meeting;
    part(this, "[data-title]", HTMLElement).textContent = counted(call.count, "participant", "participants");
    part(this, "[data-whole]", HTMLElement).hidden = !grants.moderate;
    toggle(this.#lock, locked, locked ? "Let others in again" : "Let nobody else in");
    this.#lock.textContent = this.#lock.title;
    const everybody = call.me ? [call.me, ...call.others] : call.others;
    const items = new Map(everybody.map((person) => [person.id, this.#item(person, meeting)]));
    this.#items = items;
    // Only what differs is touched: the focus may be on a button in there.
    for (const child of [...this.#entries.children]) {
      if (![...items.values()].includes(/** @type {HTMLElement} */ (child))) child.remove();
    }
    for (const item of items.values()) if (!item.isConnected) this.#entries.append(item);
  }

  /**
   * @param {Participant} person
   * @param {Meeting} meeting
   */
  #item(person, { call, grants }) {
    const item = this.#items.get(person.id) ?? copyOf(this.#template);
    const me = person.id === call.me?.id;
    item.dataset.id = person.id;
    const avatar = part(item, ".avatar", HTMLElement);
    avatar.textContent = initialsOf(person.name);
    avatar.style.setProperty("--hue", String(hueOf(person.account)));
    part(item, "strong", HTMLElement).textContent = person.name;
    const facts = [
      me && "you",
      ROLES[person.role],
      !person.verified && !me && "unverified",
      person.hand && "hand raised",
      person.role !== "subscriber" && (person.audio ? "" : "muted"),
      person.screen && "shares a screen",
      person.state === "reconnecting" && "reconnecting",
    ];
    part(item, "strong + span", HTMLElement).textContent = facts.filter(Boolean).join(" · ");
    const acts = part(item, "[data-acts]", HTMLElement);
    acts.hidden = !grants.moderate || me;
    const useful = { mute: person.audio, camera: person.video, screen: person.screen, kick: true };
    for (const button of acts.querySelectorAll("button")) {
      const act = /** @type {keyof typeof useful} */ (button.dataset.act);
      button.hidden = !useful[act];
      button.setAttribute("aria-label", `${button.textContent}: ${person.name}`);
    }
    return item;
  }

  /** @param {Event} event */
  #act({ target }) {
    const button = target instanceof Element ? target.closest("button") : null;
    const id = /** @type {HTMLElement | null | undefined} */ (button?.closest(".entry"))?.dataset.id;
    const act = ACTS[button?.dataset.act ?? ""];
    if (id && act) this.wishes?.moderate(id, ...act);
  }
}

customElements.define("call-people", CallPeople);
