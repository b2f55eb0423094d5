// Calls, as the chat knows them: the button in the header, the line below it that says who is in one and rings once, and the
// call that this page looks into, whose view is loaded with the first look.

/** @import { CallInRoom } from "../call/wire.js" */
/** @import { Visit } from "../visit.js" */
/** @import { CallView } from "./call-view.js" */

import { ofThisBrowser } from "../storage.js";
import { namesLine } from "../words.js";
import { makeRoomForCall, wanted } from "./frame.js";
import { part } from "./part.js";

const QUIET_KEY = "chatzilla.call.quiet";

/**
 * @typedef {object} Wishes
 * @property {() => void} enter
 * @property {(words: string) => void} rings
 * @property {(open: boolean) => void} chat    Whether the chat is seen beside the call.
 * @property {(words: string) => void} say     Aloud, for those who listen.
 */

export class CallBar {
  /** @type {Wishes | null} */
  wishes = null;

  #button = part(document, "[data-call]", HTMLButtonElement);
  #bar = part(document, "[data-call-bar]", HTMLElement);
  /** @type {CallView | null} */
  #view = null;
  /** @type {Map<string, CallInRoom | null>} */
  #calls = new Map();
  #room = "";
  /** @type {string | null} The room whose call this person looks into or is in. */
  #inside = null;
  #me = "";

  constructor() {
    this.#button.addEventListener("click", () => this.wishes?.enter());
    part(this.#bar, "[data-call-join]", HTMLElement).addEventListener("click", () => this.wishes?.enter());
    part(this.#bar, "[data-call-quiet]", HTMLElement).addEventListener("click", () => {
      if (this.#quiet) ofThisBrowser.removeItem(QUIET_KEY);
      else ofThisBrowser.setItem(QUIET_KEY, "yes");
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

  /** The room whose call this person looks into or is in. */
  get inside() {
    return this.#inside;
  }

  /** @param {number} unread  How many messages beside the call were not seen. */
  set unread(unread) {
    if (this.#view) this.#view.unread = unread;
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
    this.#view?.heard(room, call);
  }

  /**
   * Look into the call of the room that is open.
   *
   * @param {Visit} visit
   */
  async enter(visit) {
    const { room } = visit;
    const view = await wanted(() => this.#load());
    const { manager } = visit;
    if (!view || visit.over || !manager) return;
    view.open({
      room,
      name: visit.rooms.nameOf(room),
      manager,
      token: () => visit.session.token,
      call: this.#calls.get(room) ?? null,
    });
  }

  close() {
    this.#view?.close();
  }

  async #load() {
    const { CallView } = await import("./call-view.js");
    this.#view = part(document, "call-view", CallView);
    this.#view.wishes = {
      inside: (room) => {
        this.#inside = room;
        makeRoomForCall(room !== null);
        this.#show();
      },
      chat: (open) => this.wishes?.chat(open),
      say: (words) => this.wishes?.say(words),
    };
    return this.#view;
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
    return ofThisBrowser.getItem(QUIET_KEY) !== null;
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
