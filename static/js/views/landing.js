// The first card: who are you?

import { NAME_LIMIT_CHARACTERS, lengthInCharacters } from "../protocol.js";

/** @typedef {{join: (name: string) => void}} Wishes */

export class LandingCard extends HTMLElement {
  /** @type {Wishes | null} */
  wishes = null;

  /** @type {HTMLInputElement} */
  #field;
  /** @type {HTMLButtonElement} */
  #button;
  /** @type {HTMLElement} */
  #words;

  constructor() {
    super();
    this.#field = /** @type {HTMLInputElement} */ (this.querySelector("[name=email]"));
    this.#button = /** @type {HTMLButtonElement} */ (this.querySelector("button"));
    this.#words = /** @type {HTMLElement} */ (this.querySelector("[data-words]"));
  }

  connectedCallback() {
    this.querySelector("form")?.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submitted();
    });
  }

  /**
   * Ask, with a name to begin with and a word on why.
   *
   * @param {string} name
   * @param {string} words
   */
  ask(name, words) {
    this.hidden = false;
    this.#field.value ||= name;
    this.#busy(false);
    this.say(words);
    this.#field.focus();
    this.#field.select();
  }

  /** @param {string} words */
  say(words) {
    this.#words.textContent = words;
    this.#field.setAttribute("aria-invalid", String(words !== "" && !this.#button.disabled));
  }

  #submitted() {
    const name = this.#field.value.trim();
    if (!name) return this.ask("", "Type your email, or any name you like.");
    if (lengthInCharacters(name) > NAME_LIMIT_CHARACTERS) {
      return this.ask("", `A name has at most ${NAME_LIMIT_CHARACTERS} characters.`);
    }
    this.#busy(true);
    this.say("");
    return this.wishes?.join(name);
  }

  /** @param {boolean} busy */
  #busy(busy) {
    this.#button.disabled = busy;
    this.#button.textContent = busy ? "Joining…" : "Join";
  }
}

customElements.define("landing-card", LandingCard);
