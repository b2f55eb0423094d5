// The one module that knows the namespace of calls: it shares the connection of the chat where there is one, stays
// connected, asks questions that always get an answer, and passes on what the server tells.

/** @import { Manager, Socket } from "../../vendor/socket.io.esm.min.js" */
/** @import { Goodbye, Refusal, Result } from "../protocol.js" */
/** @import { CallFacts, Ended, MediaNews, Moderated, Offered, ParticipantNews, Signal } from "./wire.js" */

import { backOff } from "../backoff.js";
import { ask } from "../connection.js";

const NAMESPACE = "/calls";
const ANSWER_WITHIN_MS = 8_000;
/** In a call one wants to know soon who is there. */
const RECONNECT_MS = { first: 300, longest: 1_500 };

/**
 * @typedef {object} Ear
 * @property {() => string | undefined} token
 * @property {() => string | undefined} resume     The key of one's place, which is good when the token is over.
 * @property {() => void} connected
 * @property {() => void} disconnected
 * @property {(refusal: Refusal) => void} refused  This person cannot use calls with what they have.
 * @property {(news: ParticipantNews) => void} participant
 * @property {(signal: Signal) => void} signal
 * @property {(offered: Offered) => void} offer
 * @property {(news: MediaNews) => void} media
 * @property {(moderated: Moderated) => void} moderated
 * @property {(call: CallFacts) => void} call
 * @property {() => void} superseded
 * @property {(ended: Ended) => void} ended
 */

/** Who has a socket now: the manager hands out the same one for each call on this page. @type {WeakMap<Socket, Signaling>} */
const holders = new WeakMap();

export class Signaling {
  #manager;
  #ear;
  /** @type {Socket} */
  #socket;
  #closing = new AbortController();
  #failures = 0;
  /** @type {number} */
  #usualLongest;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #again;

  /**
   * @param {Manager} manager
   * @param {Ear} ear
   */
  constructor(manager, ear) {
    this.#manager = manager;
    this.#ear = ear;
    this.#socket = manager.socket(NAMESPACE);
    const before = holders.get(this.#socket);
    this.#usualLongest = before ? before.#usualLongest : (manager.reconnectionDelayMax() ?? 0);
    holders.set(this.#socket, this);
    this.#socket.off();
    this.#socket.auth = (/** @type {(auth: object) => void} */ give) => give({ token: ear.token(), resume: ear.resume() || undefined });
    this.#listen();
    const { signal } = this.#closing;
    addEventListener("offline", () => this.#pause(), { signal });
    addEventListener("online", () => this.#hurry(), { signal });
  }

  get connected() {
    return this.#socket.connected;
  }

  open() {
    this.#manager.reconnectionDelayMax(RECONNECT_MS.longest);
    this.#enter();
  }

  close() {
    this.#closing.abort();
    clearTimeout(this.#again);
    if (holders.get(this.#socket) !== this) return; // another call has begun meanwhile
    this.#manager.reconnectionDelayMax(this.#usualLongest);
    this.#socket.off();
    // Whoever has asked and was not answered is let in all the same, and would be there for the server alone.
    if (this.#socket.active && !this.#socket.connected) this.#socket.once("connect", () => this.#socket.disconnect());
    else this.#socket.disconnect();
  }

  /**
   * @template Answer
   * @param {string} event
   * @param {object} question
   * @returns {Promise<Result<Answer>>}
   */
  ask(event, question) {
    return ask(this.#socket, event, question, ANSWER_WITHIN_MS);
  }

  /** Say something that needs no answer: the page may be gone before one could come. */
  sayGoodbye() {
    if (this.#socket.connected) this.#socket.emit("leave", {});
  }

  /**
   * Ask for the namespace, unless that was done already: the server refuses whoever asks twice, and the library then takes
   * the refusal for all there is.
   */
  #enter() {
    if (!this.#socket.active) this.#socket.connect();
  }

  #listen() {
    const socket = this.#socket;
    const ear = this.#ear;
    socket.on("participant", ear.participant);
    socket.on("signal", ear.signal);
    socket.on("offer", ear.offer);
    socket.on("media", ear.media);
    socket.on("moderated", ear.moderated);
    socket.on("call", ear.call);
    socket.on("superseded", ear.superseded);
    socket.on("ended", ear.ended);
    socket.on("connect", () => {
      this.#failures = 0;
      ear.connected();
    });
    socket.on("goodbye", (/** @type {Goodbye} */ goodbye) => {
      if (!goodbye.reconnect) this.#giveUp(goodbye);
    });
    socket.on("disconnect", () => {
      ear.disconnected();
      this.#tryAgain();
    });
    socket.on("connect_error", (/** @type {Error & {data?: Refusal}} */ error) => {
      const { data } = error;
      if (data?.code === "sign-in" || data?.code === "forbidden") ear.refused(data);
      else this.#tryAgain();
    });
  }

  /** @param {Refusal} refusal */
  #giveUp(refusal) {
    this.close();
    this.#ear.refused(refusal);
  }

  /** The library comes back by itself after a lost transport, but not after the server ended or refused a namespace. */
  #tryAgain() {
    if (this.#closing.signal.aborted || this.#socket.active) return;
    clearTimeout(this.#again);
    this.#failures += 1;
    this.#again = setTimeout(() => this.#enter(), backOff(this.#failures, RECONNECT_MS, Math.random()));
  }

  /** The network is gone, which the transport itself would notice much later. */
  #pause() {
    this.#socket.disconnect();
  }

  #hurry() {
    if (this.#socket.connected) return;
    clearTimeout(this.#again);
    this.#enter();
  }
}
