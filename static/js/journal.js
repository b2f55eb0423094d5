// A note of every letter, made in the moment in which it is written or discarded. The outbox's store takes its time, and
// a page can be gone before that is over; this storage has taken a note when the call returns. It is small, so a note is
// kept only until the store has done it. Each has a key of its own: tabs write side by side, and none overwrites another's.

/** @import { Letter } from "./outbox-store.js" */
/** @import { Keeper } from "./storage.js" */

const PREFIX = "chatzilla.letter.";
const DISCARD_PREFIX = "chatzilla.discard.";
const NOTES_LIMIT = 50;

export class Journal {
  /** @type {Keeper} */
  #storage;

  /** @param {Keeper} storage */
  constructor(storage) {
    this.#storage = storage;
  }

  /** @param {Letter} letter */
  add(letter) {
    // Notes of people who never come back, or of a disk that takes nothing, must not fill the storage.
    for (const { client_id } of this.#all().slice(0, 1 - NOTES_LIMIT)) this.remove(client_id);
    this.#storage.setItem(PREFIX + letter.client_id, JSON.stringify(letter));
  }

  /** @param {string} client_id */
  remove(client_id) {
    this.#storage.removeItem(PREFIX + client_id);
  }

  /**
   * @param {string} person
   * @returns {Letter[]} In the order in which they were written.
   */
  of(person) {
    return this.#all().filter((letter) => letter.person === person);
  }

  /** @param {Letter} letter */
  addDiscard({ client_id, person }) {
    for (const key of this.#keys(DISCARD_PREFIX).slice(NOTES_LIMIT - 1)) this.#storage.removeItem(key);
    this.#storage.setItem(DISCARD_PREFIX + client_id, person);
  }

  /** @param {string} client_id */
  removeDiscard(client_id) {
    this.#storage.removeItem(DISCARD_PREFIX + client_id);
  }

  /**
   * @param {string} person
   * @returns {string[]} The `client_id`s of letters that the store may still have.
   */
  discards(person) {
    return this.#keys(DISCARD_PREFIX)
      .filter((key) => this.#storage.getItem(key) === person)
      .map((key) => key.slice(DISCARD_PREFIX.length));
  }

  /** @param {string} prefix */
  #keys(prefix) {
    return this.#storage.keys().filter((key) => key.startsWith(prefix));
  }

  #all() {
    return this.#keys(PREFIX)
      .map((key) => letterIn(this.#storage.getItem(key), key.slice(PREFIX.length)))
      .filter((letter) => letter !== null)
      .sort((a, b) => a.written_at - b.written_at);
  }
}

/**
 * @param {string | null} note
 * @param {string} client_id
 * @returns {Letter | null}
 */
function letterIn(note, client_id) {
  try {
    const { person, room, content, written_at, target, deletes } = JSON.parse(note ?? "null");
    const texts = [person, room, content, target ?? ""];
    const sound = texts.every((text) => typeof text === "string") && Number.isFinite(written_at);
    const change = target === undefined ? {} : { target, deletes: deletes === true };
    return sound ? { client_id, person, room, content, written_at, ...change, refusal: null } : null;
  } catch {
    return null;
  }
}
