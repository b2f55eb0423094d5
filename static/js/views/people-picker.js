// Choosing people: boxes to tick, and a field that leaves those whose names have what is typed.

/** @import { Person } from "../protocol.js" */

import { hueOf, initialsOf } from "../words.js";

export class PeoplePicker {
  #field;
  #list;
  #none;
  /** @type {Map<string, {person: Person, item: HTMLElement, box: HTMLInputElement}>} */
  #choices = new Map();

  /** @param {HTMLFieldSetElement} place */
  constructor(place) {
    const template = /** @type {HTMLTemplateElement} */ (document.querySelector("[data-picker-template]"));
    place.replaceChildren(template.content.cloneNode(true));
    this.#field = /** @type {HTMLInputElement} */ (place.querySelector("input"));
    this.#list = /** @type {HTMLElement} */ (place.querySelector("[data-choices]"));
    this.#none = /** @type {HTMLElement} */ (place.querySelector("[data-none]"));
    this.#field.addEventListener("input", () => this.#filter());
    // Enter in the field is about the field, and not about the form around it.
    this.#field.addEventListener("keydown", (event) => {
      if (event.key === "Enter") event.preventDefault();
    });
  }

  /** Whom one has chosen. */
  get chosen() {
    return [...this.#choices.values()].filter(({ box }) => box.checked).map(({ person }) => person.id);
  }

  /** @param {readonly Person[]} people */
  offer(people) {
    this.#field.value = "";
    this.#choices = new Map(people.map((person) => [person.id, newChoice(person)]));
    this.#list.replaceChildren(...[...this.#choices.values()].map(({ item }) => item));
    this.#filter();
  }

  focus() {
    this.#field.focus();
  }

  #filter() {
    const wanted = this.#field.value.trim().toLocaleLowerCase();
    let shown = 0;
    for (const { person, item, box } of this.#choices.values()) {
      item.hidden = !box.checked && !person.name.toLocaleLowerCase().includes(wanted);
      shown += item.hidden ? 0 : 1;
    }
    this.#none.textContent = shown > 0 ? "" : wanted ? "Nobody by this name." : "There is nobody else yet.";
  }
}

/** @param {Person} person */
function newChoice(person) {
  const item = document.createElement("li");
  const label = document.createElement("label");
  const box = document.createElement("input");
  const avatar = document.createElement("span");
  const name = document.createElement("span");
  box.type = "checkbox";
  avatar.className = "avatar";
  avatar.ariaHidden = "true";
  avatar.textContent = initialsOf(person.name);
  avatar.style.setProperty("--hue", String(hueOf(person.id)));
  name.className = "person-name";
  name.dir = "auto";
  name.textContent = person.name;
  label.append(box, avatar, name);
  item.append(label);
  return { person, item, box };
}
