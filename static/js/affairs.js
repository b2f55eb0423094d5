// What a person does with rooms and people, beside talking: loaded when it is first asked for. Each dialog asks the server
// itself, and shows its refusals where they happen.

/** @import { Result, Room, You } from "./protocol.js" */
/** @import { Rooms } from "./rooms.js" */

import { NewRoom } from "./views/new-room.js";
import { part } from "./views/part.js";
import { RoomDetails } from "./views/room-details.js";
import { RoomFinder } from "./views/room-finder.js";
import { styled } from "./views/styled.js";

/**
 * What the dialogs get from the page.
 *
 * @typedef {object} Hall
 * @property {(event: string, question: object) => Promise<Result<any>>} ask
 * @property {Rooms} rooms
 * @property {() => string} room              The room that is open.
 * @property {() => You | null} you
 * @property {() => readonly string[]} may    What this person may there.
 * @property {(room: string) => void} open
 * @property {(room: Room) => void} enter     Opens a room that the server has just told of.
 * @property {() => void} shown               What is known of a room has changed: shows it.
 * @property {(words: string) => void} tell   Says something above the messages.
 */

export class Affairs {
  #hall;

  /** @param {Hall} hall */
  constructor(hall) {
    this.#hall = hall;
  }

  makeRoom() {
    return part(document, "new-room", NewRoom).make(this.#hall);
  }

  /** Choose to whom. */
  write() {
    return part(document, "new-room", NewRoom).write(this.#hall);
  }

  /** @param {string[]} people */
  async writeTo(people) {
    const result = await this.#hall.ask("direct", { people });
    if (result.ok) this.#hall.enter(result.answer.room);
    else this.#hall.tell(result.refusal.message);
  }

  showDetails() {
    return part(document, "room-details", RoomDetails).open(this.#hall, (people) => this.writeTo(people));
  }

  find() {
    return part(document, "room-finder", RoomFinder).open(this.#hall, (people) => this.writeTo(people));
  }
}

await Promise.all([styled("people.css"), styled("rooms.css")]);
