// The rooms that a person knows in this browser, and how far each was read. Pure state over a small storage.

/** @import { Room } from "./protocol.js" */
/** @import { Keeper } from "./storage.js" */

import { LOBBY } from "./protocol.js";

/** `read` is the number of the last change that was on screen. @typedef {Room & {read: number}} KnownRoom */

export class Rooms {
  /** @type {Keeper} */
  #storage;
  #key;
  /** @type {Map<string, KnownRoom>} */
  #rooms = new Map();

  /**
   * @param {Keeper} storage
   * @param {string} person
   */
  constructor(storage, person) {
    this.#storage = storage;
    this.#key = `chatzilla.rooms.${person}`;
    this.#merge();
  }

  /** The lobby first, the others by name. */
  get all() {
    const lobby = this.#rooms.get(LOBBY) ?? { room: LOBBY, name: LOBBY, head: 0, read: 0 };
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
   * Take in how far a room has come, and what it is called if that is known.
   *
   * @param {{room: string, name?: string, head: number}} news
   */
  heard({ room, name, head }) {
    const known = this.#know({ room, name: name || room, head });
    if (name) known.name = name;
    known.head = Math.max(known.head, head);
    this.#save();
  }

  /**
   * @param {string} room
   * @param {number} upTo
   * @returns {boolean} Whether that is news.
   */
  read(room, upTo) {
    const known = this.#rooms.get(room);
    if (!known || upTo <= known.read) return false;
    known.read = upTo;
    known.head = Math.max(known.head, upTo);
    this.#save();
    return true;
  }

  /**
   * The room counts from a new beginning, and all that was read is history.
   *
   * @param {Room} room
   */
  startedOver({ room, name, head }) {
    this.#rooms.set(room, { room, name: name || room, head, read: head });
    this.#store();
  }

  /**
   * A room seen for the first time counts as read: its past is not news.
   *
   * @param {Room} room
   * @returns {KnownRoom}
   */
  #know({ room, name, head }) {
    let known = this.#rooms.get(room);
    if (!known) {
      known = { room, name, head, read: head };
      this.#rooms.set(room, known);
    }
    return known;
  }

  /** Other tabs of this person read too, and write to the same place. */
  #save() {
    this.#merge();
    this.#store();
  }

  #merge() {
    for (const { room, name, head, read } of this.#stored()) {
      const known = this.#rooms.get(room);
      if (known) {
        known.head = Math.max(known.head, head);
        known.read = Math.max(known.read, read);
      } else {
        this.#rooms.set(room, { room, name, head, read });
      }
    }
  }

  #store() {
    this.#storage.setItem(this.#key, JSON.stringify([...this.#rooms.values()]));
  }

  /** @returns {KnownRoom[]} */
  #stored() {
    try {
      return JSON.parse(this.#storage.getItem(this.#key) ?? "[]");
    } catch {
      return [];
    }
  }
}

/**
 * How many changes of a room this person has not seen.
 *
 * @param {KnownRoom} room
 */
export const unreadIn = ({ head, read }) => Math.max(0, head - read);
