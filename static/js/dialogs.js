// What a person does with rooms and people, beside talking: loaded when it is first asked for. Each dialog asks the server
// itself, and shows its refusals where they happen.

/** @import { Person } from "./protocol.js" */
/** @import { Visit } from "./visit.js" */

import { tell, wanted } from "./views/frame.js";
import { NewRoom } from "./views/new-room.js";
import { part } from "./views/part.js";
import { RoomDetails } from "./views/room-details.js";
import { RoomFinder } from "./views/room-finder.js";
import { styled } from "./views/styled.js";

/** What the dialogs about rooms need of the visit. */
/** @typedef {Pick<Visit, "ask" | "rooms" | "room" | "you" | "may" | "open" | "enter" | "writeTo" | "learn">} Hall */

const signedOut = () => location.reload();

export class Dialogs {
  #visit;

  /** @param {Visit} visit */
  constructor(visit) {
    this.#visit = visit;
  }

  makeRoom() {
    return part(document, "new-room", NewRoom).make(this.#visit);
  }

  /** Choose to whom. */
  write() {
    return part(document, "new-room", NewRoom).write(this.#visit);
  }

  /** Everything about the room that is open. */
  showDetails() {
    return part(document, "room-details", RoomDetails).open(this.#visit);
  }

  /** Go somewhere by typing a part of its name. */
  find() {
    return part(document, "room-finder", RoomFinder).open(this.#visit);
  }

  /** Let nobody but its moderators speak in the room that is open, or everybody again. */
  async toggleLock() {
    const { room } = this.#visit;
    const { locked, name } = this.#visit.rooms.get(room);
    if (!locked && !confirm(`Lock “${name}”? Everybody goes on reading. Only its moderators write, until it is unlocked.`)) return;
    const loaded = await wanted(() => import("./api.js"));
    if (!loaded) return;
    const result = await loaded.api.lock(room, !locked);
    if (!result.ok) tell(result.refusal.message);
  }

  /**
   * What may be done to somebody.
   *
   * @param {Person} person
   */
  async showPerson({ id, name, verified }) {
    const loaded = await wanted(() => import("./views/person-card.js"));
    if (!loaded) return;
    const { room, rooms, session } = this.#visit;
    const here = session.roster.people.find((each) => each.id === id);
    const card = part(document, "person-card", loaded.PersonCard);
    card.signedOut = signedOut;
    const place = this.#visit.may("kick") ? { id: room, name: rooms.nameOf(room) } : null;
    await card.open({ id, name, verified: verified ?? (here && here.verified === true) }, place);
  }

  /** Who may come in, and how; and where this person is signed in. */
  async showPeopleAndLinks() {
    const loaded = await wanted(() => import("./views/people-and-links.js"));
    if (!loaded) return;
    const dialog = part(document, "people-and-links", loaded.PeopleAndLinks);
    dialog.signedOut = signedOut;
    dialog.nameOf = (room) => this.#visit.rooms.nameOf(room);
    await dialog.open(this.#visit.room);
  }

  /** Everybody's roles, the bans, and what was done. */
  async keepOrder() {
    const loaded = await wanted(() => import("./views/keeping-order.js"));
    document.querySelector(/** @type {"dialog"} */ ("people-and-links dialog"))?.close();
    if (!loaded) return;
    const dialog = part(document, "keeping-order", loaded.KeepingOrder);
    dialog.me = this.#visit.you?.id ?? "";
    dialog.signedOut = signedOut;
    dialog.chosen = (person) => void this.showPerson(person);
    await dialog.open();
  }
}

await Promise.all([styled("people.css"), styled("rooms.css")]);
