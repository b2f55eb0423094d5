// Who is here: one line for each person, however many tabs they have open.

/** @import { Person } from "../protocol.js" */

import { counted, hueOf, initialsOf } from "../words.js";

export class PeopleList extends HTMLElement {
  /** @type {{message: (person: Person) => void} | null}  What a person can ask for here. */
  wishes = null;

  /** @type {HTMLElement} */
  #list;
  /** @type {HTMLElement} */
  #rest;
  /** @type {readonly Person[]} */
  #people = [];
  /** @type {Map<string, HTMLElement>} */
  #items = new Map();

  constructor() {
    super();
    this.#list = /** @type {HTMLElement} */ (this.querySelector("[data-people]"));
    this.#rest = /** @type {HTMLElement} */ (this.querySelector("[data-rest]"));
    this.#list.addEventListener("click", ({ target }) => {
      const item = target instanceof Element && target.closest("button")?.closest("li");
      const person = this.#people.find(({ id }) => item && item === this.#items.get(id));
      if (person) this.wishes?.message(person);
    });
  }

  /**
   * @param {Person[]} people
   * @param {number} count
   * @param {Person | null} you
   * @param {boolean} mayWrite  Whether this person may write to others directly.
   */
  show(people, count, you, mayWrite) {
    const items = new Map();
    for (const person of people) {
      const item = this.#item(person, person.id === you?.id);
      const write = /** @type {HTMLElement} */ (item.lastElementChild);
      write.hidden = !mayWrite || !person.verified || person.id === you?.id;
      write.setAttribute("aria-label", `Message ${person.name}`);
      items.set(person.id, item);
    }
    this.#items = items;
    this.#people = people;
    place(this.#list, [...items.values()]);
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
  const template = /** @type {HTMLTemplateElement} */ (document.querySelector("[data-write-template]"));
  const write = /** @type {HTMLElement} */ (template.content.firstElementChild).cloneNode(true);
  item.append(avatar, name, mark, write);
  return item;
}

/**
 * Make these the children, and move only what stands elsewhere: what has the focus keeps it.
 *
 * @param {HTMLElement} list
 * @param {HTMLElement[]} items
 */
function place(list, items) {
  const wanted = new Set(items);
  for (const child of [...list.children]) if (!wanted.has(/** @type {HTMLElement} */ (child))) child.remove();
  items.forEach((item, at) => {
    if (list.children[at] !== item) list.insertBefore(item, list.children[at] ?? null);
  });
}

customElements.define("people-list", PeopleList);
