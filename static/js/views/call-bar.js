// Who is in a call is seen before entering it: the button in the header, and a line below it that rings once.

/** @import { CallInRoom } from "../call/wire.js" */

import { namesLine } from "../words.js";
import { part } from "./part.js";

const QUIET_KEY = "chatzilla.call.quiet";

/** @typedef {{enter: () => void, rings: (words: string) => void}} Wishes */

export class CallBar {
  /** @type {Wishes | null} */
  wishes = null;

  #button;
  #bar;
  #keeper;
  /** @type {Map<string, CallInRoom | null>} */
  #calls = new Map();
  #room = "";
  /** @type {string | null} The room whose call this person looks into or is in. */
  #inside = null;
  #me = "";

  /**
   * @param {HTMLButtonElement} button
   * @param {HTMLElement} bar
   * @param {Pick<Storage, "getItem" | "setItem" | "removeItem">} keeper
   */
  constructor(button, bar, keeper) {
    this.#button = button;
    this.#bar = bar;
    this.#keeper = keeper;
    button.addEventListener("click", () => this.wishes?.enter());
    part(this.#bar, "[data-call-join]", HTMLElement).addEventListener("click", () => this.wishes?.enter());
    part(this.#bar, "[data-call-quiet]", HTMLElement).addEventListener("click", () => {
      if (this.#quiet) keeper.removeItem(QUIET_KEY);
      else keeper.setItem(QUIET_KEY, "yes");
      this.#show();
    });
  }

  /**
   * @param {string} room
   * @param {string} me  This person's account.
   */
  at(room, me) {
    this.#room = room;
    this.#me = me;
    this.#show();
  }

  /** @param {string | null} room */
  inside(room) {
    this.#inside = room;
    this.#show();
  }

  /**
   * @param {string} room
   * @param {CallInRoom | null} call
   */
  heard(room, call) {
    const before = this.#calls.get(room);
    this.#calls.set(room, call);
    const begins = before === null && call && !call.people.some(({ id }) => id === this.#me);
    if (begins && room === this.#room && this.#inside === null) this.#ring(call);
    this.#show();
  }

  /** @param {string} room */
  callIn(room) {
    return this.#calls.get(room);
  }

  /** @param {CallInRoom} call */
  #ring(call) {
    this.#bar.classList.remove("call-bar-rings");
    void this.#bar.offsetWidth; // so that the animation begins anew
    this.#bar.classList.add("call-bar-rings");
    this.wishes?.rings(wordsOf(call));
    if (!this.#quiet) void import("../call/ring.js").then(({ ring }) => ring());
  }

  get #quiet() {
    return this.#keeper.getItem(QUIET_KEY) !== null;
  }

  #show() {
    const call = this.#calls.get(this.#room);
    const here = this.#inside === this.#room;
    this.#button.hidden = here;
    this.#button.classList.toggle("call-on", Boolean(call));
    part(this.#button, "[data-call-word]", HTMLElement).textContent = call ? "Join call" : "Call";
    this.#bar.hidden = !call || here;
    if (!call) return;
    const words = wordsOf(call);
    const line = part(this.#bar, "[data-call-words]", HTMLElement);
    if (line.textContent !== words) line.textContent = words;
    const quiet = part(this.#bar, "[data-call-quiet]", HTMLElement);
    quiet.setAttribute("aria-pressed", String(this.#quiet));
    quiet.title = this.#quiet ? "Calls do not ring" : "Calls ring once";
  }
}

/** @param {CallInRoom} call */
function wordsOf({ people, count, locked }) {
  const names = people.map(({ name }) => name);
  return `${namesLine(names, count)} ${count === 1 ? "is" : "are"} in a ${locked ? "locked " : ""}call`;
}
