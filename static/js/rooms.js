// The rooms that a person knows in this browser, and how far each was read. Pure state over a small storage.
//
// Numbers mean something within one epoch. The present one is what the server's latest answer says; when that changes,
// the rooms remain and their numbers go. A tab that has not had such an answer leaves the storage to those that have.

/** @import { Person, Room } from "./protocol.js" */
/** @import { News } from "./session.js" */
/** @import { Keeper } from "./storage.js" */

import { LOBBY } from "./protocol.js";

/**
 * `last` is the place of its newest message, and `read` the number up to which everything was on screen, here or
 * wherever else this person reads; null before any number is known.
 *
 * @typedef {object} KnownRoom
 * @property {string} room
 * @property {string} name
 * @property {number} last
 * @property {number | null} read
 * @property {Room["kind"]} kind
 * @property {string} topic
 * @property {boolean} archived
 * @property {boolean} locked
 * @property {boolean} muted
 * @property {Person[]} people  Whose direct room it is, this person left out.
 */

/** @typedef {{epoch: string | null, rooms: KnownRoom[]}} Stored */

export class Rooms {
  /** @type {Keeper} */
  #storage;
  #key;
  /** @type {string | null} */
  #epoch;
  /** @type {Map<string, KnownRoom>} */
  #rooms = new Map();

  /**
   * @param {Keeper} storage
   * @param {string} person
   */
  constructor(storage, person) {
    this.#storage = storage;
    this.#key = `chatzilla.rooms.${person}`;
    const stored = this.#stored();
    this.#epoch = stored?.epoch ?? null;
    if (stored) this.#merge(stored);
  }

  /** This person's account, which no direct room is named after. */
  me = "";

  /** The lobby first, the others by name. */
  get all() {
    const lobby = this.#rooms.get(LOBBY) ?? unnumbered({ room: LOBBY, name: LOBBY });
    const others = [...this.#rooms.values()].filter(({ room }) => room !== LOBBY);
    return [lobby, ...others.sort((a, b) => a.name.localeCompare(b.name))];
  }

  /** @param {string} room */
  nameOf(room) {
    return this.get(room).name;
  }

  /**
   * What is known of a room; little, perhaps.
   *
   * @param {string} room
   */
  get(room) {
    return this.#rooms.get(room) ?? unnumbered({ room, name: room });
  }

  /** @param {string} room */
  readUpTo(room) {
    return this.#rooms.get(room)?.read ?? 0;
  }

  /**
   * Take in which numbering the server is at.
   *
   * @param {string} epoch
   * @returns {boolean} Whether it is another one than these rooms were at, so that their numbers are gone.
   */
  numberedBy(epoch) {
    const renumbered = epoch !== this.#epoch;
    this.#epoch = epoch;
    if (renumbered) {
      for (const known of this.#rooms.values()) this.#rooms.set(known.room, unnumbered(known));
    }
    const stored = this.#stored();
    if (stored) this.#merge(stored);
    this.#store();
    return renumbered;
  }

  /**
   * Take in how far a room has come, what it is and how far it was read if that is known. The past of a room
   * without numbers is no news, and neither is what this person wrote there, if everything before it was read.
   *
   * @param {News} news
   * @returns {number} How far it is read now.
   */
  heard(news) {
    const { room, last, read, own = false } = news;
    const known = this.get(room);
    this.#rooms.set(room, known);
    if (news.name) known.name = news.name;
    if (news.kind) this.#describe(known, news);
    if (news.muted !== undefined) known.muted = news.muted;
    if (read !== undefined) known.read = Math.max(known.read ?? 0, read);
    if (known.read === null || (own && known.read === last - 1)) known.read = last;
    known.last = Math.max(known.last, last);
    this.#save();
    return known.read;
  }

  /**
   * @param {KnownRoom} known
   * @param {News} news  All of it: what is not there is not so.
   */
  #describe(known, { kind = "public", topic = "", archived, locked, people = [] }) {
    const others = people.filter(({ id }) => id !== this.me);
    Object.assign(known, { kind, topic, archived: archived === true, locked: locked === true, people: others });
    if (others.length > 0) known.name = others.map(({ name }) => name).join(", ");
  }

  /**
   * The room is not this person's any more.
   *
   * @param {string} room
   */
  forget(room) {
    const stored = this.#stored();
    if (stored) this.#merge(stored);
    this.#rooms.delete(room);
    this.#store();
  }

  /** Keep nothing of them here: this person goes for good. */
  forgetAll() {
    this.#storage.removeItem(this.#key);
  }

  /**
   * Forget the private rooms that are not among these: they were taken from this person while they were away.
   *
   * @param {ReadonlySet<string>} mine
   */
  keepOnly(mine) {
    for (const { room, kind } of this.#rooms.values()) {
      if (kind !== "public" && !mine.has(room)) this.forget(room);
    }
  }

  /**
   * @param {string} room
   * @param {number} upTo
   * @returns {boolean} Whether that is news.
   */
  read(room, upTo) {
    const known = this.#rooms.get(room);
    if (!known || (known.read !== null && upTo <= known.read)) return false;
    known.read = upTo;
    this.#save();
    return true;
  }

  /**
   * The room counts from a new beginning, and all that was read is history.
   *
   * @param {Room} room
   */
  startedOver({ room, name, head, last }) {
    this.#rooms.set(room, { ...this.get(room), name: name || room, last, read: head });
    this.#store();
  }

  /** Other tabs of this person read too, and write to the same place; perhaps in an epoch not known here yet. */
  #save() {
    const stored = this.#stored();
    if (stored && stored.epoch !== this.#epoch) return;
    if (stored) this.#merge(stored);
    this.#store();
  }

  /** @param {Stored} stored */
  #merge({ epoch, rooms }) {
    for (const other of rooms) {
      const { room, last, read } = other;
      const known = this.#rooms.get(room) ?? unnumbered(other);
      this.#rooms.set(room, known);
      if (epoch !== this.#epoch || read === null) continue;
      known.last = Math.max(known.last, last);
      known.read = Math.max(known.read ?? 0, read);
    }
  }

  #store() {
    /** @type {Stored} */
    const stored = { epoch: this.#epoch, rooms: [...this.#rooms.values()] };
    this.#storage.setItem(this.#key, JSON.stringify(stored));
  }

  /** @returns {Stored | null} */
  #stored() {
    try {
      const { epoch, rooms } = JSON.parse(this.#storage.getItem(this.#key) ?? "null");
      return (epoch === null || typeof epoch === "string") && rooms.every(isKnownRoom) ? { epoch, rooms } : null;
    } catch {
      return null;
    }
  }
}

/**
 * @param {Partial<KnownRoom> & {room: string, name: string}} known
 * @returns {KnownRoom}
 */
const unnumbered = (known) => ({
  kind: "public",
  topic: "",
  archived: false,
  locked: false,
  muted: false,
  people: [],
  ...known,
  last: 0,
  read: null,
});

/** @param {any} entry  Whatever is in the storage. */
const isKnownRoom = ({ room, name, last, read, people = [] }) =>
  typeof room === "string" && typeof name === "string" && isNumber(last) && (read === null || isNumber(read))
  && Array.isArray(people);

/** @param {unknown} value */
const isNumber = (value) => Number.isSafeInteger(value) && Number(value) >= 0;

/**
 * How many messages of a room this person has not seen. Edits that fell in between count too; alone, they do not.
 *
 * @param {KnownRoom} room
 */
export const unreadIn = ({ last, read }) => (read === null ? 0 : Math.max(0, last - read));
