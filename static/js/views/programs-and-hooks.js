// The part of the dialog in which one makes bots, hooks and tokens of programs, and ends them. Loaded with the dialog.

/** @import { Bot, Hook, Maker } from "../api.js" */
/** @import { Refusal } from "../protocol.js" */

import { api } from "../api.js";
import { fromNow } from "../devices.js";
import { roomIdOf } from "../protocol.js";
import { counted } from "../words.js";
import { part } from "./part.js";

const COPIED_SHOWN_MS = 2_000;

/** What can be made: what it is called in the form, and what it is. @type {Map<Maker, [string, string]>} */
const KINDS = new Map([
  ["hook", ["A hook", "An address that says in one room whatever is sent to it. It reads nothing."]],
  ["bot", ["A bot", "Somebody of its own that is a program. It reads and writes like everybody."]],
  ["token", ["A token for a program of mine", "A program with it acts in your name, for a year unless you end it."]],
]);

export class ProgramsAndHooks extends HTMLElement {
  /** Called when something has begun or ended. */
  changed = () => {};
  /** What a room is called. */
  nameOf = (/** @type {string} */ room) => room;

  #form = part(this, "form", HTMLFormElement);
  #kind = part(this, "[name=kind]", HTMLSelectElement);
  #name = part(this, "[name=name]", HTMLInputElement);
  #room = part(this, "[name=room]", HTMLInputElement);
  #made = part(this, "[data-program-made]", HTMLElement);
  #secret = part(this, "[data-program-secret]", HTMLInputElement);
  #copy = part(this, "[data-program-copy]", HTMLButtonElement);
  /** @type {HTMLTemplateElement | null} */
  #entry = null;

  constructor() {
    super();
    this.#copy.addEventListener("click", () => void this.#copySecret());
    part(this, "[data-program-done]", HTMLElement).addEventListener("click", () => this.hideMade());
    this.#secret.addEventListener("focus", () => this.#secret.select());
    this.#kind.addEventListener("change", () => this.#explain());
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#make();
    });
  }

  /**
   * @param {string} room  The room that one is in.
   * @param {Maker[]} makes  What one may make.
   * @param {HTMLTemplateElement} entry  The markup of a line in a list.
   */
  open(room, makes, entry) {
    this.hidden = makes.length === 0;
    this.#entry = entry;
    this.#say("");
    this.#room.value = room;
    const kinds = [...KINDS].filter(([kind]) => makes.includes(kind));
    this.#kind.replaceChildren(...kinds.map(([kind, [words]]) => new Option(words, kind)));
    this.#explain();
    return this.refresh();
  }

  /** Show what there is. */
  async refresh() {
    if (this.hidden) return undefined;
    const [bots, hooks] = await Promise.all([api.bots(), api.hooks()]);
    if (!bots.ok) return this.#refuse(bots.refusal);
    if (!hooks.ok) return this.#refuse(hooks.refusal);
    const now = Date.now();
    part(this, "[data-programs]", HTMLElement).replaceChildren(
      ...bots.answer.bots.map((bot) => this.#botEntry(bot, now)),
      ...hooks.answer.hooks.map((hook) => this.#hookEntry(hook, now)),
    );
    return undefined;
  }

  /** What was shown once is not shown again. */
  hideMade() {
    this.#made.hidden = true;
    this.#secret.value = "";
    part(this, "[data-program-example]", HTMLElement).textContent = "";
  }

  async #make() {
    const name = this.#name.value.trim();
    const kind = this.#kind.value;
    if (kind === "hook") return this.#makeHook(name);
    const result = kind === "bot" ? await api.makeBot(name) : await api.makeToken(name);
    if (!result.ok) return this.#refuse(result.refusal);
    const hint = "It is shown only now: copy it to where the program runs, and show it to nobody else.";
    const example = `curl -H "Authorization: Bearer $TOKEN" --json '{"content": "hello"}' ${location.origin}/api/v1/rooms/lobby/messages`;
    return this.#show(`The token of ${name}`, hint, "The token", result.answer.secret, example);
  }

  /** @param {string} name */
  async #makeHook(name) {
    const typed = this.#room.value.trim();
    const room = roomIdOf(typed === "" ? "lobby" : typed);
    if (room === null) return this.#say("A room’s name has letters, digits, hyphens and underscores.");
    const result = await api.makeHook(name, room);
    if (!result.ok) return this.#refuse(result.refusal);
    const { url, hook } = result.answer;
    const hint = "Whoever has this address can speak in the room. It is shown only now: copy it to where it is used.";
    return this.#show(`${hook.name} speaks in ${this.nameOf(hook.room)}`, hint, "The address", url, `curl -d hello ${url}`);
  }

  /**
   * @param {string} title
   * @param {string} hint
   * @param {string} label
   * @param {string} secret
   * @param {string} example
   */
  #show(title, hint, label, secret, example) {
    this.#say("");
    this.#name.value = "";
    part(this, "[data-program-title]", HTMLElement).textContent = title;
    part(this, "[data-program-hint]", HTMLElement).textContent = hint;
    part(this, "[data-program-label]", HTMLElement).textContent = label;
    part(this, "[data-program-example]", HTMLElement).textContent = example;
    this.#secret.value = secret;
    this.#made.hidden = false;
    this.#made.scrollIntoView({ block: "nearest" });
    this.#copy.focus();
    this.changed();
    return this.refresh();
  }

  async #copySecret() {
    this.#secret.select();
    try {
      await navigator.clipboard.writeText(this.#secret.value);
    } catch {
      // Over plain http there is no clipboard; the field is selected, so the usual keys do it.
      if (!document.execCommand("copy")) return this.#say("Copy the selected text by hand.");
    }
    this.#copy.textContent = "Copied";
    setTimeout(() => (this.#copy.textContent = "Copy"), COPIED_SHOWN_MS);
    return undefined;
  }

  /**
   * @param {Bot} bot
   * @param {number} now
   */
  #botEntry({ id, name, tokens, seen_at }, now) {
    const words = [
      counted(tokens, "token", "tokens"),
      seen_at !== null && `last used ${fromNow(seen_at, now)}`,
    ];
    return this.#newEntry(`${name} (bot)`, words, () => api.endBot(id));
  }

  /**
   * @param {Hook} hook
   * @param {number} now
   */
  #hookEntry({ id, name, room, maker, made_at }, now) {
    const words = [`speaks in ${this.nameOf(room)}`, `made ${fromNow(made_at, now)}`, `by ${maker?.name ?? "the operator"}`];
    return this.#newEntry(`${name} (hook)`, words, () => api.endHook(id));
  }

  /**
   * @param {string} what
   * @param {(string | false)[]} words
   * @param {() => ReturnType<typeof api.endHook>} end
   */
  #newEntry(what, words, end) {
    if (this.#entry === null) throw new Error("The lines of a list have no markup yet.");
    const fragment = /** @type {DocumentFragment} */ (this.#entry.content.cloneNode(true));
    const [name, facts] = fragment.querySelectorAll("strong, strong + span");
    const button = /** @type {HTMLButtonElement} */ (fragment.querySelector("button"));
    name.textContent = what;
    facts.textContent = words.filter(Boolean).join(" · ");
    button.textContent = "End";
    button.setAttribute("aria-label", `End: ${what}, ${facts.textContent}`);
    button.addEventListener("click", () => {
      button.disabled = true;
      void this.#end(end());
    });
    return fragment;
  }

  /** @param {ReturnType<typeof api.endHook>} ending */
  async #end(ending) {
    const result = await ending;
    if (result.ok) this.#say("");
    else this.#refuse(result.refusal);
    this.changed();
    await this.refresh();
  }

  #explain() {
    const kind = /** @type {Maker} */ (this.#kind.value);
    part(this, "[data-program-note]", HTMLElement).textContent = KINDS.get(kind)?.[1] ?? "";
    part(this, "[data-program-room]", HTMLElement).hidden = kind !== "hook";
  }

  /** @param {Refusal} refusal */
  #refuse({ message }) {
    this.#say(message);
  }

  /** @param {string} words */
  #say(words) {
    part(this, "[data-program-refused]", HTMLElement).textContent = words;
  }
}

customElements.define("programs-and-hooks", ProgramsAndHooks);
