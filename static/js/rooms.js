// The rooms that a person knows in this browser, and how far each was read. Pure state over a small storage.
//
// Numbers mean something within one epoch. The present one is what the server's latest answer says; when that changes,
// the rooms remain and their numbers go. A tab that has not had such an answer leaves the storage to those that have.

/** @import { Room } from "./protocol.js" */
/** @import { Keeper } from "./storage.js" */

import { LOBBY } from "./protocol.js";

/**
 * `last` is the place of its newest message, and `read` the number up to which everything was on screen, here or
 * wherever else this person reads; null before any number is known.
 *
 * @typedef {{room: string, name: string, last: number, read: number | null}} KnownRoom
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

  /** The lobby first, the others by name. */
  get all() {
    const lobby = this.#rooms.get(LOBBY) ?? unnumbered(LOBBY, LOBBY);
    const others = [...this.#rooms.values()].filter(({ room }) => room !== LOBBY);
    return [lobby, ...others.sort((a, b) => a.name.localeCompare(b.name))];
  }

  /** @param {string} room */
  nameOf(room) {
    return this.#rooms.get(room)?.name ?? room;
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
      for (const { room, name } of this.#rooms.values()) this.#rooms.set(room, unnumbered(room, name));
    }
    const stored = this.#stored();
    if (stored) this.#merge(stored);
    this.#store();
    return renumbered;
  }

  /**
   * Take in how far a room has come, what it is called and how far it was read if that is known. The past of a room
   * without numbers is no news, and neither is what this person wrote there, if everything before it was read.
   *
   * @param {{room: string, name?: string, last: number, read?: number, own?: boolean}} news
   * @returns {number} How far it is read now.
   */
  heard({ room, name, last, read, own = false }) {
    const known = this.#rooms.get(room) ?? unnumbered(room, room);
    this.#rooms.set(room, known);
    if (name) known.name = name;
    if (read !== undefined) known.read = Math.max(known.read ?? 0, read);
    if (known.read === null || (own && known.read === last - 1)) known.read = last;
    known.last = Math.max(known.last, last);
    this.#save();
    return known.read;
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
    this.#rooms.set(room, { room, name: name || room, last, read: head });
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
    for (const { room, name, last, read } of rooms) {
      const known = this.#rooms.get(room) ?? unnumbered(room, name);
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
 * @param {string} room
 * @param {string} name
 * @returns {KnownRoom}
 */
const unnumbered = (room, name) => ({ room, name, last: 0, read: null });

/** @param {any} entry  Whatever is in the storage. */
const isKnownRoom = ({ room, name, last, read }) =>
  typeof room === "string" && typeof name === "string" && isNumber(last) && (read === null || isNumber(read));

/** @param {unknown} value */
const isNumber = (value) => Number.isSafeInteger(value) && Number(value) >= 0;

/**
 * How many messages of a room this person has not seen. Edits that fell in between count too; alone, they do not.
 *
 * @param {KnownRoom} room
 */
export const unreadIn = ({ last, read }) => (read === null ? 0 : Math.max(0, last - read));
