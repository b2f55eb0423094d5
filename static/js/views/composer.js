// Where a person writes. What is written here survives a reload, and goes away only when it is sent.

import { TEXT_LIMIT_CHARACTERS, lengthInCharacters } from "../protocol.js";
import { ofThisBrowser } from "../storage.js";

const COUNT_FROM_CHARACTERS = TEXT_LIMIT_CHARACTERS - 500;
/** Some browsers report the Enter that ends a composition only by this key code. */
const KEY_OF_COMPOSITION = 229;

/** @typedef {{send: (text: string) => void, typing: () => void}} Wishes */

export class Composer extends HTMLElement {
  /** @type {Wishes | null} */
  wishes = null;

  /** @type {HTMLTextAreaElement} */
  #field;
  /** @type {HTMLElement} */
  #count;
  /** @type {HTMLButtonElement} */
  #button;
  #draftKey = "";

  constructor() {
    super();
    this.#field = /** @type {HTMLTextAreaElement} */ (this.querySelector("textarea"));
    this.#count = /** @type {HTMLElement} */ (this.querySelector("[data-count]"));
    this.#button = /** @type {HTMLButtonElement} */ (this.querySelector("button"));
  }

  connectedCallback() {
    this.#field.addEventListener("keydown", (event) => this.#key(event));
    this.#field.addEventListener("input", () => this.#edited());
    this.querySelector("form")?.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
  }

  /**
   * Write to this room, and go on with what was begun there.
   *
   * @param {string} person
   * @param {string} room
   * @param {string} name  What the room is called.
   */
  open(person, room, name) {
    this.#draftKey = `chatzilla.draft.${person}.${room}`;
    this.#field.value = ofThisBrowser.getItem(this.#draftKey) ?? "";
    this.#field.placeholder = `Message ${name}`;
    this.#fit();
  }

  /** @override */
  focus() {
    this.#field.focus();
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const composing = event.isComposing || event.keyCode === KEY_OF_COMPOSITION;
    if (event.key !== "Enter" || event.shiftKey || event.altKey || composing) return;
    event.preventDefault();
    this.#send();
  }

  #edited() {
    this.#keep();
    this.#fit();
    if (this.#field.value.trim()) this.wishes?.typing();
  }

  #send() {
    const text = this.#text();
    // Until somebody takes it, the text stays where it is.
    if (this.wishes && text && lengthInCharacters(text) <= TEXT_LIMIT_CHARACTERS) {
      this.wishes.send(text);
      this.#field.value = "";
      this.#keep();
      this.#fit();
    }
    this.#field.focus();
  }

  /** Empty lines around a text are slips; the space in front of its first line may be code. */
  #text() {
    return this.#field.value.replace(/^(\s*\n)+/, "").trimEnd();
  }

  #keep() {
    if (this.#field.value) ofThisBrowser.setItem(this.#draftKey, this.#field.value);
    else ofThisBrowser.removeItem(this.#draftKey);
  }

  #fit() {
    const length = lengthInCharacters(this.#text());
    const left = TEXT_LIMIT_CHARACTERS - length;
    this.#count.hidden = length < COUNT_FROM_CHARACTERS;
    this.#count.textContent = left >= 0 ? `${left} left` : `${-left} too long`;
    this.#count.classList.toggle("too-long", left < 0);
    this.#button.disabled = length === 0 || left < 0;
    this.#field.style.setProperty("height", "auto");
    this.#field.style.setProperty("height", `${this.#field.scrollHeight}px`);
  }
}

customElements.define("chat-composer", Composer);
