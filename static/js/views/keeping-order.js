// The view of owners and admins: everybody with their roles, the bans, and what was done by whom. Loaded when it is first
// opened.

/** @import { Ban, Deed, Holder } from "../api.js" */
/** @import { Refusal } from "../protocol.js" */
/** @import { Somebody } from "./person-card.js" */

import { api } from "../api.js";
import { fromNow } from "../devices.js";
import { momentOf } from "../words.js";
import { Dialog } from "./dialog.js";
import { styled } from "./styled.js";

const PEOPLE_SHOWN = 50;

/** What was done, in words; a name comes before it. @type {Record<string, (deed: Deed) => string>} */
const WORDS = {
  role: ({ details }) => `made them ${details.role}, from ${details.before}`,
  "remove-person": ({ details }) => `removed them from the server (${details.role})`,
  "delete-message": ({ room }) => `deleted a message of theirs in ${roomOf(room)}`,
  kick: ({ room }) => `turned them out of ${roomOf(room)}`,
  ban: ({ room, details }) => `banned them ${room ? `from ${roomOf(room)}` : "everywhere"}${addressOf(details)}, ${untilOf(details)}`,
  unban: ({ room, details }) => `lifted their ban ${room ? `from ${roomOf(room)}` : "everywhere"}${addressOf(details)}`,
  purge: ({ room, details }) => `deleted ${details.messages} messages of theirs ${room ? `in ${roomOf(room)}` : "everywhere"}`,
  lock: () => "locked the room",
  unlock: () => "unlocked the room",
  "create-room": ({ details }) => `made this ${details.kind} room`,
  "rename-room": () => "renamed the room",
  "set-topic": () => "changed the topic",
  "archive-room": () => "archived the room",
  "reopen-room": () => "opened the room again",
  invite: ({ room }) => `invited them into ${roomOf(room)}`,
  grade: ({ room, details }) => `let them ${details.grade} in ${roomOf(room)}`,
  "remove-member": ({ room }) => `removed them from ${roomOf(room)}`,
  inherit: ({ room, actor, person }) =>
    actor?.id === person?.id ? `moderates ${roomOf(room)} from then on` : `left them ${roomOf(room)} to moderate`,
  "make-link": (deed) => `made ${linkOf(deed)}`,
  "revoke-link": (deed) => `revoked ${linkOf(deed)}`,
  "end-sign-in": () => "ended a sign-in of theirs",
  "end-sign-ins": () => "ended all of their sign-ins",
  "make-token": ({ details }) => `made a token that speaks for them, for ${details.days} days`,
  "end-token": () => "ended a token that spoke for them",
  "make-bot": () => "made this bot",
  "end-bot": () => "ended this bot",
  "make-hook": () => "made a hook for this room",
  "end-hook": ({ person, room }) => (person ? `ended a hook of theirs in ${roomOf(room)}` : "ended a hook of this room"),
  "rotate-key": ({ details }) => (details.forget ? "changed the key and ended all sign-ins" : "changed the key"),
  mute: ({ room }) => `muted them in the call in ${roomOf(room)}`,
  unpublish: ({ room }) => `took away what they sent in the call in ${roomOf(room)}`,
  "kick-from-call": ({ room }) => `put them out of the call in ${roomOf(room)}`,
  "lock-call": () => "locked the call",
  "unlock-call": () => "unlocked the call",
  "end-call": () => "ended the call for everybody",
};

export class KeepingOrder extends Dialog {
  /** Called when this browser is not signed in any more. */
  signedOut = () => {};
  /** Whose page this is: nobody does any of it to themselves. */
  me = "";
  /** Called with whoever is chosen. @type {(person: Somebody) => void} */
  chosen = () => {};

  #entry = this.piece("[data-entry]", HTMLTemplateElement);
  #deed = this.piece("[data-deed]", HTMLTemplateElement);
  #audit = this.piece("[data-audit]", HTMLElement);
  /** @type {number | undefined} The number of the oldest entry that is shown. */
  #oldest;
  /** @type {Holder[]} */
  #people = [];

  constructor() {
    super();
    this.#on("[data-earlier]", () => void this.#showDeeds());
    this.#on("[data-all-people]", () => this.#showPeople(Infinity));
  }

  async open() {
    this.say("");
    this.show();
    await this.#refresh();
  }

  async #refresh() {
    this.#oldest = undefined;
    const [people, bans] = await Promise.all([api.people(), api.bans()]);
    if (!people.ok) return this.#refuse(people.refusal);
    if (!bans.ok) return this.#refuse(bans.refusal);
    this.#people = people.answer.people;
    this.#showPeople(PEOPLE_SHOWN);
    const now = Date.now();
    this.piece("[data-bans]", HTMLElement).replaceChildren(...bans.answer.bans.map((ban) => this.#banEntry(ban, now)));
    return this.#showDeeds();
  }

  /** @param {number} count */
  #showPeople(count) {
    const shown = this.#people.slice(0, count);
    this.piece("[data-everybody]", HTMLElement).replaceChildren(
      ...shown.map((person) => {
        const words = person.room ? `${person.role}, in ${person.room}` : person.role;
        return this.#newEntry(person.name, words, person.id === this.me ? "" : "Open", () => {
          this.dialog.close();
          this.chosen(person);
        });
      }),
    );
    const all = this.piece("[data-all-people]", HTMLElement);
    all.hidden = shown.length === this.#people.length;
    all.textContent = `Show all ${this.#people.length}`;
  }

  /**
   * @param {Ban} ban
   * @param {number} now
   */
  #banEntry(ban, now) {
    const words = [
      ban.kind === "address" && ban.address !== ban.name && `as ${ban.address ?? "an address"}`,
      ban.room === null ? "everywhere" : `from ${ban.room}`,
      ban.ends_at === null ? "for good" : `ends ${fromNow(ban.ends_at, now)}`,
      `by ${ban.maker?.name ?? "the operator"}`,
    ];
    return this.#newEntry(ban.name, words.filter(Boolean).join(" · "), "Lift", () => void this.#lift(ban.id));
  }

  /** @param {string} id */
  async #lift(id) {
    const result = await api.unban(id);
    if (result.ok) this.say("");
    else this.#refuse(result.refusal);
    await this.#refresh();
  }

  async #showDeeds() {
    const before = this.#oldest;
    const result = await api.audit(before);
    if (!result.ok) return this.#refuse(result.refusal);
    const { entries, more } = result.answer;
    const items = entries.map((deed) => this.#deedEntry(deed));
    if (before === undefined) this.#audit.replaceChildren(...items);
    else this.#audit.append(...items);
    this.#oldest = entries.at(-1)?.no ?? before;
    this.piece("[data-earlier]", HTMLElement).hidden = !more;
    return undefined;
  }

  /** @param {Deed} deed */
  #deedEntry(deed) {
    const fragment = /** @type {DocumentFragment} */ (this.#deed.content.cloneNode(true));
    const [name, facts] = fragment.querySelectorAll("strong, strong + span");
    name.textContent = deed.person?.name ?? (deed.room === null ? "The server" : roomOf(deed.room));
    const done = WORDS[deed.act]?.(deed) ?? deed.act;
    const actor = (deed.actor?.name ?? "The operator") + (deed.details.unverified ? " (unverified)" : "");
    facts.textContent = `${actor} ${done} · ${momentOf(deed.at)}`;
    return fragment;
  }

  /**
   * @param {string} what
   * @param {string} words
   * @param {string} label
   * @param {() => void} act
   */
  #newEntry(what, words, label, act) {
    const fragment = /** @type {DocumentFragment} */ (this.#entry.content.cloneNode(true));
    const [name, facts] = fragment.querySelectorAll("strong, strong + span");
    const button = /** @type {HTMLButtonElement} */ (fragment.querySelector("button"));
    name.textContent = what;
    facts.textContent = words;
    button.textContent = label;
    button.hidden = label === "";
    button.setAttribute("aria-label", `${label}: ${what}, ${words}`);
    button.addEventListener("click", act);
    return fragment;
  }

  /** @param {Refusal} refusal */
  #refuse({ code, message }) {
    if (code === "sign-in") this.signedOut();
    this.say(message);
  }

  /**
   * @param {string} selector
   * @param {() => void} act
   */
  #on(selector, act) {
    this.piece(selector, HTMLElement).addEventListener("click", act);
  }
}

/**
 * A room, as the list names it: the ids of private ones say nothing to anybody, so their beginning will do.
 *
 * @param {string | null} room
 */
const roomOf = (room) => (room !== null && /^p-[a-z2-7]{24}$/.test(room) ? `private room ${room.slice(2, 8)}` : room ?? "");

/** @param {Deed["details"]} details */
const addressOf = ({ network }) => (network === undefined ? "" : ` as ${network}`);

/**
 * A link, as the list tells of it: whom it signs in, or as what it lets somebody in.
 *
 * @param {Deed} deed
 */
const linkOf = ({ person, room, details }) => {
  if (person) return "a link that signs them in";
  const into = room ? `, into ${roomOf(room)}` : "";
  return details.by_mail ? `an invitation by mail as ${details.role}${into}` : `a link for a new ${details.role}${into}`;
};

/** @param {Deed["details"]} details */
const untilOf = ({ ends_at }) => (typeof ends_at === "number" ? `until ${momentOf(ends_at)}` : "for good");

await Promise.all([styled("people.css"), styled("order.css")]);
customElements.define("keeping-order", KeepingOrder);
