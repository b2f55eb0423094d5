// Who is in the room, as far as the server names them. Pure state.

/** @import { Here, Person, Presence } from "./protocol.js" */

import { NAMED_PEOPLE_LIMIT } from "./protocol.js";

export class Roster {
  #count = 0;
  /** @type {Map<string, Person>} */
  #people = new Map();

  get count() {
    return this.#count;
  }

  /** Everybody who is named, in the order of the alphabet; the list is shorter than `count` in a crowd. */
  get people() {
    return [...this.#people.values()].sort((a, b) => a.name.localeCompare(b.name) || a.id.localeCompare(b.id));
  }

  /** Whether names and count contradict each other, so that a diff must have been lost. */
  get doubtful() {
    return this.#count <= NAMED_PEOPLE_LIMIT && this.#people.size !== this.#count;
  }

  /** @param {Here} here */
  joined(here) {
    this.#count = here.count;
    this.#people = new Map(here.people.map((person) => [person.id, person]));
  }

  /** @param {Pick<Presence, "came" | "went" | "count">} change */
  changed(change) {
    this.#count = change.count;
    for (const person of change.went) this.#people.delete(person.id);
    for (const person of change.came) this.#people.set(person.id, person);
  }
}
