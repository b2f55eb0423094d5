// What a person does with rooms and people, beside talking: loaded when it is first asked for. Each dialog asks the server
// itself, and shows its refusals where they happen.

/** @import { Result, Room, You } from "./protocol.js" */
/** @import { Rooms } from "./rooms.js" */

import { NewRoom } from "./views/new-room.js";
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
    return piece(NewRoom, "new-room").make(this.#hall);
  }

  /** Choose to whom. */
  write() {
    return piece(NewRoom, "new-room").write(this.#hall);
  }

  /** @param {string[]} people */
  async writeTo(people) {
    const result = await this.#hall.ask("direct", { people });
    if (result.ok) this.#hall.enter(result.answer.room);
    else this.#hall.tell(result.refusal.message);
  }

  showDetails() {
    return piece(RoomDetails, "room-details").open(this.#hall, (people) => this.writeTo(people));
  }

  find() {
    return piece(RoomFinder, "room-finder").open(this.#hall, (people) => this.writeTo(people));
  }
}

/**
 * @template {HTMLElement} Kind
 * @param {new () => Kind} kind
 * @param {string} name
 * @returns {Kind}
 */
function piece(kind, name) {
  const element = document.querySelector(name);
  if (!(element instanceof kind)) throw new Error(`The page has no ${name}.`);
  return element;
}

await Promise.all([styled("people.css"), styled("rooms.css")]);
