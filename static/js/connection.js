// The one module that knows Socket.IO: it connects, stays connected, asks questions that always get an answer, and
// passes on what the server tells. What any of it means is not known here.

/** @import { Socket } from "../vendor/socket.io.esm.min.js" */
/** @import { Gone, Goodbye, Message, Presence, Refusal, Result, Room, Typing, You } from "./protocol.js" */

import { backOff } from "./backoff.js";
import { io } from "../vendor/socket.io.esm.min.js";

const NAMESPACE = "/chat";
const ANSWER_WITHIN_MS = 10_000;
const RECONNECT_MS = { first: 400, longest: 5_000 };

/** How any page of ours reaches the server. */
export const ROUTE = {
  // Long-polling is for networks that break WebSocket; it need not delay everybody else.
  transports: ["websocket", "polling"],
  tryAllTransports: true,
  reconnectionDelay: RECONNECT_MS.first,
  reconnectionDelayMax: RECONNECT_MS.longest,
  randomizationFactor: 0.5,
};

/**
 * @typedef {object} Ear
 * @property {() => string | undefined} token    To identify with, if there is one.
 * @property {() => void} tokenRefused           It is worth nothing any more.
 * @property {() => void} connected
 * @property {() => void} disconnected
 * @property {(refusal: Refusal) => void} ended  The server does not want this connection, for good.
 * @property {(message: Message) => void} message
 * @property {(presence: Presence) => void} presence
 * @property {(room: Room | Gone) => void} room
 * @property {(typing: Typing) => void} typing
 * @property {(you: You) => void} you           What this person is here from now on.
 */

export class Connection {
  #ear;
  #socket;
  #closing = new AbortController();
  #failures = 0;
  /** @type {Goodbye | null} */
  #goodbye = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #again;

  /** @param {Ear} ear */
  constructor(ear) {
    this.#ear = ear;
    this.#socket = io(NAMESPACE, {
      ...ROUTE,
      autoConnect: false,
      auth: (give) => give({ dialect: "full", token: ear.token() }),
    });
    this.#listen();
    const { signal } = this.#closing;
    addEventListener("offline", () => this.#pause(), { signal });
    addEventListener("online", () => this.#hurry(), { signal });
  }

  /** What other namespaces share this connection through. */
  get manager() {
    return this.#socket.io;
  }

  get connected() {
    return this.#socket.connected;
  }

  open() {
    this.#socket.connect();
  }

  /** Close for good. */
  close() {
    this.#closing.abort();
    clearTimeout(this.#again);
    this.#socket.disconnect();
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

  #listen() {
    const socket = this.#socket;
    const ear = this.#ear;
    socket.on("message", ear.message);
    socket.on("presence", ear.presence);
    socket.on("room", ear.room);
    socket.on("typing", ear.typing);
    socket.on("you", ear.you);
    socket.on("goodbye", (/** @type {Goodbye} */ goodbye) => (this.#goodbye = goodbye));

    socket.on("connect", () => {
      this.#failures = 0;
      this.#goodbye = null;
      ear.connected();
    });
    socket.on("disconnect", () => {
      ear.disconnected();
      if (this.#goodbye && !this.#goodbye.reconnect) this.#giveUp(this.#goodbye);
      else this.#tryAgain();
    });
    socket.on("connect_error", (/** @type {Error & {data?: Refusal}} */ error) => {
      const { data } = error;
      if (data?.code !== "sign-in" && data?.code !== "forbidden") return this.#tryAgain();
      if (!ear.token()) return this.#giveUp(data);
      ear.tokenRefused();
      return this.#tryAgain();
    });
  }

  /** @param {Refusal} refusal */
  #giveUp(refusal) {
    this.close();
    this.#ear.ended(refusal);
  }

  /** The library comes back by itself after a lost transport, but not after the server ended or refused a namespace. */
  #tryAgain() {
    if (this.#closing.signal.aborted || this.#socket.active) return;
    clearTimeout(this.#again);
    this.#failures += 1;
    this.#again = setTimeout(() => this.#socket.connect(), backOff(this.#failures, RECONNECT_MS, Math.random()));
  }

  /** The network is gone, which the transport itself would notice much later. The browser may be wrong: try on. */
  #pause() {
    this.#socket.disconnect();
    this.#failures = Infinity;
    this.#tryAgain();
  }

  /** The network is back: do not sit out the rest of a pause. */
  #hurry() {
    // Where the line stands, the server was asked already; it refuses whoever asks twice.
    const asked = this.#socket.active && this.#socket.io.engine?.readyState === "open";
    if (this.#socket.connected || asked) return;
    clearTimeout(this.#again);
    this.#socket.disconnect();
    this.#socket.connect();
  }
}

/**
 * Ask the server, and get an answer whatever happens.
 *
 * @template Answer
 * @param {Socket} socket
 * @param {string} event
 * @param {object} question
 * @param {number} within  In ms.
 * @returns {Promise<Result<Answer>>}
 */
export function ask(socket, event, question, within) {
  // The library would keep the question for later; what is sent after a reconnection is for others to decide.
  if (!socket.connected) return Promise.resolve(refusal("offline", "There is no connection to the server."));
  return new Promise((resolve) => {
    socket.timeout(within).emit(
      event,
      question,
      /** @type {(error: Error | null, ok: boolean, answer: any) => void} */
      (error, ok, answer) => {
        if (error) resolve(refusal("timeout", "The server did not answer."));
        else if (ok) resolve({ ok: true, answer });
        else resolve(refusal(answer?.code ?? "internal", answer?.message ?? "The server refused this."));
      },
    );
  });
}

/**
 * @param {string} code
 * @param {string} message
 * @returns {{ok: false, refusal: Refusal}}
 */
function refusal(code, message) {
  return { ok: false, refusal: { code, message } };
}
