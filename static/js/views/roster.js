// Who is here: one line for each person, however many tabs they have open.

/** @import { Person } from "../protocol.js" */

import { counted, hueOf, initialsOf } from "../words.js";

export class PeopleList extends HTMLElement {
  /** @type {HTMLElement} */
  #list;
  /** @type {HTMLElement} */
  #rest;
  /** @type {Map<string, HTMLElement>} */
  #items = new Map();

  constructor() {
    super();
    this.#list = /** @type {HTMLElement} */ (this.querySelector("[data-people]"));
    this.#rest = /** @type {HTMLElement} */ (this.querySelector("[data-rest]"));
  }

  /**
   * @param {Person[]} people
   * @param {number} count
   * @param {Person | null} you
   */
  show(people, count, you) {
    const items = new Map();
    for (const person of people) items.set(person.id, this.#item(person, person.id === you?.id));
    this.#items = items;
    this.#list.replaceChildren(...items.values());
    const unnamed = count - people.length;
    this.#rest.hidden = unnamed <= 0;
    const somebody = people.length > 0;
    this.#rest.textContent = somebody ? `and ${unnamed.toLocaleString()} more` : counted(count, "person", "people");
  }

  /**
   * @param {Person} person
   * @param {boolean} me
   */
  #item(person, me) {
    const item = this.#items.get(person.id) ?? newItem();
    const [avatar, name, mark] = /** @type {HTMLElement[]} */ ([...item.children]);
    avatar.textContent = initialsOf(person.name);
    avatar.style.setProperty("--hue", String(hueOf(person.id)));
    name.textContent = person.name;
    name.title = person.name;
    mark.hidden = !me && person.verified === true;
    mark.textContent = me ? "Me" : "unverified";
    mark.className = me ? "me-mark" : "unverified-mark";
    return item;
  }
}

function newItem() {
  const item = document.createElement("li");
  const avatar = document.createElement("span");
  const name = document.createElement("span");
  const mark = document.createElement("span");
  avatar.className = "avatar";
  avatar.ariaHidden = "true";
  name.className = "person-name";
  name.dir = "auto";
  item.append(avatar, name, mark);
  return item;
}

customElements.define("people-list", PeopleList);
