// The rooms in the sidebar, and the field that opens one more.

/** @import { KnownRoom } from "../rooms.js" */

import { LOBBY, roomIdOf } from "../protocol.js";
import { counted } from "../words.js";

const SHOWN_UP_TO = 99;

/** @typedef {KnownRoom & {unread: number}} Item */
/** @typedef {{open: (room: string) => void}} Wishes */

export class RoomList extends HTMLElement {
  /** @type {Wishes | null} */
  wishes = null;

  /** @type {HTMLElement} */
  #list;
  /** @type {HTMLFormElement} */
  #form;
  /** @type {HTMLInputElement} */
  #field;
  /** @type {HTMLElement} */
  #error;

  constructor() {
    super();
    this.#list = /** @type {HTMLElement} */ (this.querySelector("[data-rooms]"));
    this.#form = /** @type {HTMLFormElement} */ (this.querySelector("form"));
    this.#field = /** @type {HTMLInputElement} */ (this.querySelector("[name=room]"));
    this.#error = /** @type {HTMLElement} */ (this.querySelector("[data-error]"));
  }

  connectedCallback() {
    this.#list.addEventListener("click", (event) => this.#clicked(event));
    this.#form.addEventListener("submit", (event) => this.#submitted(event));
    this.#form.addEventListener("input", () => this.#complain(""));
  }

  /**
   * @param {Item[]} rooms
   * @param {string} current
   */
  show(rooms, current) {
    // Reused by position, so that the focus stays where it is.
    while (this.#list.children.length > rooms.length) this.#list.lastElementChild?.remove();
    while (this.#list.children.length < rooms.length) this.#list.append(newItem());
    rooms.forEach((room, i) => fill(this.#list.children[i], room, room.room === current));
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

/** @param {string} room */
export const pathOf = (room) => (room === LOBBY ? "/" : `/r/${room}`);

function newItem() {
  const item = document.createElement("li");
  const link = document.createElement("a");
  const name = document.createElement("span");
  const unread = document.createElement("span");
  name.className = "room-name";
  unread.className = "unread";
  link.append(name, unread);
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
  const [name, unread] = /** @type {HTMLElement[]} */ ([...link.children]);
  link.href = pathOf(room.room);
  link.dataset.room = room.room;
  if (current) link.setAttribute("aria-current", "page");
  else link.removeAttribute("aria-current");
  name.textContent = room.name;
  unread.hidden = current || room.unread === 0;
  unread.textContent = room.unread > SHOWN_UP_TO ? `${SHOWN_UP_TO}+` : String(room.unread);
  link.classList.toggle("has-unread", !unread.hidden);
  if (unread.hidden) link.removeAttribute("aria-label");
  else link.setAttribute("aria-label", `${room.name}, ${counted(room.unread, "unread message", "unread messages")}`);
}

customElements.define("room-list", RoomList);
