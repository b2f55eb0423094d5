// Go to a room or a person by typing a part of the name: arrows choose, Enter goes, Escape stays.
// The field is a combobox over a list (WAI-ARIA 1.2): the focus stays in the field, and the list shows what is meant.

/** @import { Hall } from "../dialogs.js" */
/** @import { Everybody, Listing, Result } from "../protocol.js" */
/** @import { KnownRoom } from "../rooms.js" */

import { roomIdOf } from "../protocol.js";
import { unreadIn } from "../rooms.js";
import { counted } from "../words.js";
import { Dialog } from "./dialog.js";
import { showMark } from "./room-list.js";

const SHOWN_AT_MOST = 50;

/**
 * Something to go to.
 *
 * @typedef {object} Goal
 * @property {string} name
 * @property {string} facts
 * @property {Pick<KnownRoom, "kind" | "name" | "people">} looks
 * @property {() => void} go
 */

export class RoomFinder extends Dialog {
  #field = this.piece("[role=combobox]", HTMLInputElement);
  #list = this.piece("[data-found]", HTMLElement);
  #nothing = this.piece("[data-nothing]", HTMLElement);
  /** @type {Hall} */
  #hall = /** @type {any} */ (null);
  /** @type {Goal[]} Everything there is. */
  #goals = [];
  /** @type {Goal[]} What fits. */
  #found = [];
  #at = 0;

  constructor() {
    super();
    this.#field.addEventListener("input", () => this.#filter());
    this.#field.addEventListener("keydown", (event) => this.#key(event));
    this.#list.addEventListener("click", ({ target }) => {
      const item = target instanceof Element ? target.closest("[role=option]") : null;
      if (item) this.#go([...this.#list.children].indexOf(item));
    });
  }

  /** @param {Hall} hall */
  async open(hall) {
    this.#hall = hall;
    this.#field.value = "";
    this.#goals = inOrder(hall.rooms.all, hall).map((room) => roomGoal(room, hall));
    this.#filter();
    this.show();
    this.#field.focus();
    const mayWrite = document.querySelector("[data-write]") !== null;
    /** @type {[Result<Listing>, Result<Everybody> | null]} */
    const [rooms, people] = await Promise.all([hall.ask("rooms", {}), mayWrite ? hall.ask("people", {}) : null]);
    if (!rooms.ok) return this.say(rooms.refusal.message);
    const known = new Map(hall.rooms.all.map((room) => [room.room, room]));
    for (const room of rooms.answer.rooms) {
      if (known.has(room.room)) continue;
      known.set(room.room, { ...hall.rooms.get(room.room), ...room, archived: room.archived === true, read: null });
    }
    const everybody = people?.ok ? people.answer.people.filter(({ id }) => id !== hall.you?.id) : [];
    const alone = new Set([...known.values()].flatMap(({ people: them }) => (them.length === 1 ? [them[0].id] : [])));
    this.#goals = [
      ...inOrder([...known.values()], hall).map((room) => roomGoal(room, hall)),
      ...everybody
        .filter(({ id }) => !alone.has(id))
        .map(({ id, name, online }) => ({
          name,
          facts: online ? "online" : "away",
          looks: { kind: /** @type {const} */ ("direct"), name, people: [{ id, name }] },
          go: () => void hall.writeTo([id]),
        })),
    ];
    this.#filter();
    return undefined;
  }

  #filter() {
    const typed = this.#field.value.trim();
    const wanted = typed.toLocaleLowerCase();
    const begins = (/** @type {Goal} */ { name }) => (name.toLocaleLowerCase().startsWith(wanted) ? 0 : 1);
    this.#found = this.#goals
      .filter(({ name }) => name.toLocaleLowerCase().includes(wanted))
      .sort((a, b) => begins(a) - begins(b))
      .slice(0, SHOWN_AT_MOST);
    const id = roomIdOf(typed);
    const guest = document.querySelector("[data-make]") === null;
    if (id && !guest && !this.#found.some(({ name }) => name.toLocaleLowerCase() === wanted)) {
      this.#found.push({
        name: id,
        facts: "open this room",
        looks: { kind: "public", name: id, people: [] },
        go: () => this.#hall.open(id),
      });
    }
    this.#at = 0;
    this.#list.replaceChildren(...this.#found.map(newOption));
    this.#nothing.textContent = this.#found.length === 0 ? "There is nothing of this name." : "";
    this.#choose(0);
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const last = this.#found.length - 1;
    if (event.key === "Enter" && !event.isComposing) this.#go(this.#at);
    else if (event.key === "ArrowDown") this.#choose(this.#at === last ? 0 : this.#at + 1);
    else if (event.key === "ArrowUp") this.#choose(this.#at === 0 ? last : this.#at - 1);
    else return;
    event.preventDefault();
  }

  /** @param {number} at */
  #choose(at) {
    this.#list.children[this.#at]?.setAttribute("aria-selected", "false");
    this.#at = at;
    const item = this.#list.children[at];
    if (!item) return this.#field.removeAttribute("aria-activedescendant");
    item.setAttribute("aria-selected", "true");
    item.scrollIntoView({ block: "nearest" });
    return this.#field.setAttribute("aria-activedescendant", item.id);
  }

  /** @param {number} at */
  #go(at) {
    const goal = this.#found[at];
    if (!goal) return;
    this.dialog.close();
    goal.go();
  }
}

/**
 * What waits to be read comes first, and where one is already last.
 *
 * @param {readonly KnownRoom[]} rooms
 * @param {Hall} hall
 */
function inOrder(rooms, hall) {
  const rank = (/** @type {KnownRoom} */ room) => {
    if (room.room === hall.room) return 3;
    if (room.archived) return 2;
    return unreadIn(room) > 0 && !room.muted ? 0 : 1;
  };
  return rooms.toSorted((a, b) => rank(a) - rank(b));
}

/**
 * @param {KnownRoom} room
 * @param {Hall} hall
 * @returns {Goal}
 */
function roomGoal(room, hall) {
  const unread = room.muted ? 0 : unreadIn(room);
  const words = [
    room.kind === "private" && "private",
    room.archived && "archived",
    room.muted && "muted",
    unread > 0 && counted(unread, "unread message", "unread messages"),
    room.topic,
  ];
  return { name: room.name, facts: words.filter(Boolean).join(" · "), looks: room, go: () => hall.open(room.room) };
}

/**
 * @param {Goal} goal
 * @param {number} at
 */
function newOption({ name, facts, looks }, at) {
  const item = document.createElement("li");
  const mark = document.createElement("span");
  const words = document.createElement("span");
  const more = document.createElement("span");
  item.id = `found-${at}`;
  item.role = "option";
  item.ariaSelected = "false";
  mark.ariaHidden = "true";
  showMark(mark, looks);
  words.className = "room-name";
  words.dir = "auto";
  words.textContent = name;
  more.className = "found-facts";
  more.textContent = facts;
  item.append(mark, words, more);
  return item;
}

customElements.define("room-finder", RoomFinder);
