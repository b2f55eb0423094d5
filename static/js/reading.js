// How far this person has read: what was told of it elsewhere, what they see here, and what came while they looked away.
// Pure state over the rooms; the marks carry what is new to the server.

/** @import { Marks } from "./marks.js" */
/** @import { Room } from "./protocol.js" */
/** @import { Rooms } from "./rooms.js" */
/** @import { News } from "./session.js" */

export class Reading {
  #rooms;
  #marks;
  /** What came while the person was in another room, or looked at another page; until they are back, everything. */
  #missed = { after: 0, upTo: Infinity };

  /**
   * @param {Rooms} rooms
   * @param {Marks} marks
   */
  constructor(rooms, marks) {
    this.#rooms = rooms;
    this.#marks = marks;
  }

  /** The numbers in the open room that came while the person was elsewhere. */
  get missed() {
    return this.#missed;
  }

  /**
   * Whether there is a connection that has joined.
   *
   * @param {boolean} ready
   */
  setReady(ready) {
    this.#marks.setReady(ready);
  }

  /**
   * A room is opened.
   *
   * @param {string} room
   */
  opens(room) {
    this.#missed = { after: this.#rooms.readUpTo(room), upTo: Infinity };
  }

  /**
   * Take in which numbering the server is at; another one makes all marks mean nothing.
   *
   * @param {string} room  The one that is open.
   * @param {string} epoch
   */
  numberedBy(room, epoch) {
    if (!this.#rooms.numberedBy(epoch)) return;
    this.#marks.forget();
    this.#missed.after = this.#rooms.readUpTo(room);
  }

  /**
   * The open room counts from a new beginning, and all that was read is history.
   *
   * @param {Room} room
   */
  startedOver(room) {
    this.#rooms.startedOver(room);
    this.#missed = { after: room.head, upTo: room.head };
  }

  /**
   * Take in how far a room has come, and how far it was read.
   *
   * @param {News} news
   */
  heard(news) {
    const before = this.#rooms.readUpTo(news.room);
    const read = this.#rooms.heard(news);
    // What the server does not know yet: it got lost, or an own message moved it.
    if (read > (news.read ?? (news.own ? before : read))) this.#marks.read(news.room, read);
  }

  /**
   * The open room has answered. Where reading ended may have been on another device.
   *
   * @param {string} room
   */
  joined(room) {
    if (this.#missed.upTo === Infinity) this.#missed.after = Math.max(this.#missed.after, this.#rooms.readUpTo(room));
  }

  /**
   * The person looks at another page.
   *
   * @param {number} seen  The number up to which they have seen everything.
   */
  looksAway(seen) {
    this.#missed = { after: seen, upTo: Infinity };
  }

  /**
   * What comes from now on comes before the person's eyes.
   *
   * @param {number} from
   */
  isBack(from) {
    if (this.#missed.upTo === Infinity) this.#missed.upTo = from;
  }

  /**
   * The person has everything before their eyes up to a number.
   *
   * @param {string} room
   * @param {number} upTo
   * @returns {boolean} Whether that is news.
   */
  read(room, upTo) {
    this.#marks.read(room, upTo);
    return this.#rooms.read(room, upTo);
  }
}
