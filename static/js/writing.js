// What this person writes on this page: the outbox, whose line of letters all their tabs share, and what of the open room
// can be edited.

/** @import { Letter, Store } from "./outbox-store.js" */
/** @import { Message } from "./protocol.js" */
/** @import { Session } from "./session.js" */

import { Journal } from "./journal.js";
import { openStore } from "./outbox-store.js";
import { Outbox, uuid } from "./outbox.js";
import { ofThisBrowser } from "./storage.js";

export class Writing {
  #person;
  #session;
  #changed;
  #channel = new BroadcastChannel("chatzilla.outbox");
  /** @type {Outbox | null} */
  #outbox = null;
  #closed = false;

  /**
   * @param {string} person  The account name, normalised.
   * @param {Session} session
   * @param {() => void} changed  The letters are not what they were.
   */
  constructor(person, session, changed) {
    this.#person = person;
    this.#session = session;
    this.#changed = changed;
  }

  /**
   * Take what is written from now on.
   *
   * @returns {Promise<Store | null>} Where it is kept; nothing once this is closed.
   */
  async begin() {
    const store = await openStore(globalThis.indexedDB);
    if (this.#closed) return null;
    const session = this.#session;
    const outbox = new Outbox({
      person: this.#person,
      owner: uuid(),
      journal: new Journal(ofThisBrowser),
      store,
      send: (letter) => session.post(letter),
      enter: (room) => session.enterToPost(room),
      tell: (news) => {
        if (!this.#closed) this.#channel.postMessage(news);
      },
      changed: this.#changed,
      settled: (letter, answer) => session.settled(letter, answer),
      now: Date.now,
      later: (run, ms) => setTimeout(run, ms),
      random: Math.random,
    });
    this.#outbox = outbox;
    this.#channel.onmessage = ({ data }) => outbox.told(data);
    return store;
  }

  /** Read what an earlier page left behind, and begin to send. */
  async open() {
    await this.#outbox?.open();
  }

  /** What was written in the open room, and is not confirmed. @returns {readonly Letter[]} */
  get letters() {
    return (this.#outbox?.letters ?? []).filter(({ room }) => room === this.#session.room);
  }

  /** How many messages wait here, or could not be sent, in whatever room. */
  get unsent() {
    return this.#outbox?.letters.length ?? 0;
  }

  /**
   * Whether this tab can send now.
   *
   * @param {boolean} ready
   */
  setReady(ready) {
    this.#outbox?.setReady(ready);
  }

  /** @param {string} text */
  write(text) {
    void this.#outbox?.write(this.#session.room, text);
  }

  /**
   * @param {string} id  Of a message in the open room.
   * @param {string | null} text  What it says from now on; null deletes it.
   */
  change(id, text) {
    void this.#outbox?.change(this.#session.room, id, text);
  }

  /** @param {string} client_id */
  retry(client_id) {
    void this.#outbox?.retry(client_id);
  }

  /** @param {string} client_id */
  discard(client_id) {
    void this.#outbox?.discard(client_id);
  }

  /**
   * What a message says, by the newest that this person made of it; null where there is nothing to edit.
   *
   * @param {string} id
   */
  textOf(id) {
    const message = this.#session.timeline.rows.find((row) => row.id === id);
    if (!message || message.deleted) return null;
    const change = this.letters.findLast(({ target, deletes }) => target === id && !deletes);
    return change?.content ?? message.content;
  }

  /** Whether something that was said here is still on its way. */
  get isUnderWay() {
    return this.letters.some(({ target }) => target === undefined);
  }

  /** The id of what this person said here last, if there is anything that can be edited. */
  get lastSaid() {
    const { timeline, you } = this.#session;
    const goes = new Set(this.letters.filter(({ deletes }) => deletes).map(({ target }) => target));
    const last = timeline.rows.findLast(
      ({ id, sender, kind, deleted }) => sender === you?.id && kind === "text" && !deleted && !goes.has(id),
    );
    return last?.id ?? null;
  }

  /**
   * The server has this message; if it is this person's, so is its letter settled.
   *
   * @param {Message} message
   */
  isStored({ sender, client_id }) {
    if (sender === this.#session.you?.id) void this.#outbox?.heard(client_id);
  }

  /** Keep nothing: this person goes for good. */
  async discardAll() {
    await this.#outbox?.discardAll();
  }

  /** Let another tab send. */
  close() {
    this.#closed = true;
    this.#outbox?.close();
    this.#channel.close();
  }
}
