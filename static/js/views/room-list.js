// The rooms in the sidebar: those that one talks in, direct messages, and archived ones in a fold. And the field that
// opens one more.

/** @import { KnownRoom } from "../rooms.js" */

import { pathOf } from "../address.js";
import { LOBBY, roomIdOf } from "../protocol.js";
import { counted, hueOf, initialsOf } from "../words.js";
import { part } from "./part.js";

const SHOWN_UP_TO = 99;

/** @typedef {KnownRoom & {unread: number}} Item */
/** @typedef {{open: (room: string) => void, make: () => void, write: () => void}} Wishes */

export class RoomList extends HTMLElement {
  /** @type {Wishes | null} */
  wishes = null;

  #list = part(this, "[data-rooms]", HTMLElement);
  #direct = part(this, "[data-direct]", HTMLElement);
  #archived = part(this, "[data-archived]", HTMLElement);
  #form = part(this, "form", HTMLFormElement);
  #field = part(this, "[name=room]", HTMLInputElement);
  #error = part(this, "[data-error]", HTMLElement);

  connectedCallback() {
    this.addEventListener("click", (event) => this.#clicked(event));
    this.#form.addEventListener("submit", (event) => this.#submitted(event));
    this.#form.addEventListener("input", () => this.#complain(""));
    this.querySelector("[data-make]")?.addEventListener("click", () => this.wishes?.make());
    this.querySelector("[data-write]")?.addEventListener("click", () => this.wishes?.write());
  }

  /**
   * @param {Item[]} rooms
   * @param {string} current
   */
  show(rooms, current) {
    const direct = rooms.filter(({ kind }) => kind === "direct");
    const archived = rooms.filter((room) => room.archived && room.kind !== "direct");
    fillAll(this.#list, rooms.filter((room) => !room.archived && room.kind !== "direct"), current);
    fillAll(this.#direct, direct, current);
    fillAll(this.#archived, archived, current);
    const fold = part(this, "[data-archive]", HTMLDetailsElement);
    fold.hidden = archived.length === 0;
    if (archived.some(({ room }) => room === current)) fold.open = true;
    part(this, "[data-direct-group]", HTMLElement).hidden = direct.length === 0 && !this.querySelector("[data-write]");
  }

  /** @param {MouseEvent} event */
  #clicked(event) {
    const link = event.target instanceof Element ? event.target.closest("a") : null;
    // With a modifier the link is a link: a new tab, a new window.
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    this.wishes?.open(link.dataset.room ?? LOBBY);
  }

  /** @param {SubmitEvent} event */
  #submitted(event) {
    event.preventDefault();
    const room = roomIdOf(this.#field.value);
    if (!room) return this.#complain("Use up to 64 letters a to z, digits, - and _.");
    this.#field.value = "";
    return this.wishes?.open(room);
  }

  /** @param {string} words */
  #complain(words) {
    this.#error.textContent = words;
    this.#field.setAttribute("aria-invalid", String(words !== ""));
  }
}

/**
 * Reused by position, so that the focus stays where it is.
 *
 * @param {HTMLElement} list
 * @param {Item[]} rooms
 * @param {string} current
 */
function fillAll(list, rooms, current) {
  while (list.children.length > rooms.length) list.lastElementChild?.remove();
  while (list.children.length < rooms.length) list.append(newItem());
  rooms.forEach((room, i) => fill(list.children[i], room, room.room === current));
}

function newItem() {
  const item = document.createElement("li");
  const link = document.createElement("a");
  const mark = document.createElement("span");
  const name = document.createElement("span");
  const unread = document.createElement("span");
  mark.ariaHidden = "true";
  name.className = "room-name";
  name.dir = "auto";
  unread.className = "unread";
  link.append(mark, name, unread);
  item.append(link);
  return item;
}

/**
 * @param {Element} item
 * @param {Item} room
 * @param {boolean} current
 */
function fill(item, room, current) {
  const link = /** @type {HTMLAnchorElement} */ (item.firstElementChild);
  const [mark, name, unread] = /** @type {HTMLElement[]} */ ([...link.children]);
  link.href = pathOf(room.room);
  link.dataset.room = room.room;
  if (current) link.setAttribute("aria-current", "page");
  else link.removeAttribute("aria-current");
  showMark(mark, room);
  name.textContent = room.name;
  unread.hidden = current || room.muted || room.unread === 0;
  // Shown by the style sheet: the words below say it to whoever listens.
  unread.dataset.count = room.unread > SHOWN_UP_TO ? `${SHOWN_UP_TO}+` : String(room.unread);
  link.classList.toggle("has-unread", !unread.hidden);
  link.classList.toggle("is-muted", room.muted);
  const words = [
    room.name,
    room.kind === "private" && "private",
    room.muted && "muted",
    !unread.hidden && counted(room.unread, "unread message", "unread messages"),
  ].filter(Boolean);
  if (words.length === 1) link.removeAttribute("aria-label");
  else link.setAttribute("aria-label", words.join(", "));
}

/**
 * What kind of room it is, as a sign before its name.
 *
 * @param {HTMLElement} mark
 * @param {Pick<KnownRoom, "kind" | "name" | "people">} room
 */
export function showMark(mark, { kind, name, people }) {
  mark.className = kind === "direct" ? "avatar" : `room-mark room-mark-${kind}`;
  mark.textContent = kind === "direct" ? (people.length > 1 ? String(people.length) : initialsOf(name)) : "";
  mark.style.setProperty("--hue", String(hueOf(people[0]?.id ?? "")));
}

customElements.define("room-list", RoomList);
