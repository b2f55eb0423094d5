// Where a person writes, and writes anew what they said. What is written here survives a reload, and goes away only when
// it is sent; a draft waits while a message is edited.

import { Drafts } from "../drafts.js";
import { TEXT_LIMIT_CHARACTERS, lengthInCharacters } from "../protocol.js";
import { ofThisBrowser, ofThisTab } from "../storage.js";

const COUNT_FROM_CHARACTERS = TEXT_LIMIT_CHARACTERS - 500;
/** Some browsers report the Enter that ends a composition only by this key code. */
const KEY_OF_COMPOSITION = 229;

/**
 * What a person can ask for here.
 *
 * @typedef {object} Wishes
 * @property {(text: string) => void} send
 * @property {() => void} typing
 * @property {() => boolean} editLast                 Whether there is something to edit.
 * @property {(id: string, text: string) => void} save
 * @property {(id: string) => void} emptied           Nothing is left of a message.
 * @property {() => void} stopped                     It is edited no more.
 */

export class Composer extends HTMLElement {
  /** @type {Wishes | null} */
  wishes = null;

  /** @type {HTMLTextAreaElement} */
  #field;
  /** @type {HTMLElement} */
  #count;
  /** @type {HTMLButtonElement} */
  #button;
  /** @type {HTMLElement} */
  #bar;
  /** @type {HTMLLabelElement} */
  #label;
  #drafts = new Drafts(ofThisTab, ofThisBrowser);
  #draftKey = "";
  #editKey = "";
  #name = "";
  /** The id of the message that is edited. @type {string | null} */
  #editing = null;
  /** Its text as it was. */
  #before = "";

  constructor() {
    super();
    this.#field = /** @type {HTMLTextAreaElement} */ (this.querySelector("textarea"));
    this.#count = /** @type {HTMLElement} */ (this.querySelector("[data-count]"));
    this.#button = /** @type {HTMLButtonElement} */ (this.querySelector("button[type=submit]"));
    this.#bar = /** @type {HTMLElement} */ (this.querySelector("[data-editing]"));
    this.#label = /** @type {HTMLLabelElement} */ (this.querySelector("label"));
  }

  connectedCallback() {
    this.#field.addEventListener("keydown", (event) => this.#key(event));
    this.#field.addEventListener("input", () => this.#edited());
    this.querySelector("[data-cancel]")?.addEventListener("click", () => {
      this.stopEditing();
      this.#field.focus();
    });
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
    this.#editKey = `chatzilla.edit.${person}.${room}`;
    this.#name = name;
    const begun = this.#begun();
    this.#editing = begun?.id ?? null;
    this.#before = begun?.before ?? "";
    this.#show(begun?.text ?? this.#drafts.get(this.#draftKey));
  }

  /** Keep nothing here of what somebody began to write. @param {string} person */
  forget(person) {
    for (const what of ["draft", "edit"]) this.#drafts.forget(`chatzilla.${what}.${person}.`);
  }

  /**
   * Take in what the room is called now, and whether anything can be said there.
   *
   * @param {string} name
   * @param {boolean} closed
   */
  know(name, closed) {
    this.#name = name;
    this.#prompt();
    if (this.hasAttribute("hidden") === closed) return;
    this.toggleAttribute("hidden", closed);
    this.#fit();
  }

  /** The id of the message that is edited, if one is. */
  get editing() {
    return this.#editing;
  }

  /**
   * Write a message anew.
   *
   * @param {string} id
   * @param {string} text  As it is now.
   */
  edit(id, text) {
    this.#editing = id;
    this.#before = text;
    this.#show(text);
    this.#keep();
    this.#field.focus();
    this.#field.setSelectionRange(text.length, text.length);
  }

  /** Leave the message as it is, and go back to the draft. */
  stopEditing() {
    if (this.#editing === null) return;
    this.#drafts.set(this.#editKey, "");
    this.#editing = null;
    this.#show(this.#drafts.get(this.#draftKey));
    this.wishes?.stopped();
  }

  /** @override */
  focus() {
    this.#field.focus();
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const composing = event.isComposing || event.keyCode === KEY_OF_COMPOSITION;
    if (composing) return;
    if (event.key === "Escape" && this.#editing !== null) {
      event.preventDefault();
      this.stopEditing();
      return;
    }
    const plain = !event.shiftKey && !event.altKey && !event.ctrlKey && !event.metaKey;
    if (event.key === "ArrowUp" && plain && this.#field.value === "" && this.#editing === null) {
      if (this.wishes?.editLast()) event.preventDefault();
      return;
    }
    if (event.key !== "Enter" || event.shiftKey || event.altKey) return;
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
    if (this.#editing !== null) {
      this.#save(this.#editing, text);
      return;
    }
    // Until somebody takes it, the text stays where it is.
    if (this.wishes && text && lengthInCharacters(text) <= TEXT_LIMIT_CHARACTERS) {
      this.wishes.send(text);
      this.#field.value = "";
      this.#keep();
      this.#fit();
    }
    this.#field.focus();
  }

  /**
   * @param {string} id
   * @param {string} text
   */
  #save(id, text) {
    if (lengthInCharacters(text) > TEXT_LIMIT_CHARACTERS) return;
    const { wishes } = this;
    this.stopEditing();
    if (!text) {
      wishes?.emptied(id);
      return;
    }
    if (text !== this.#before) wishes?.save(id, text);
    this.#field.focus();
  }

  /** Empty lines around a text are slips; the space in front of its first line may be code. */
  #text() {
    return this.#field.value.replace(/^(\s*\n)+/, "").trimEnd();
  }

  /** What an earlier page left of an edit. @returns {{id: string, text: string, before: string} | null} */
  #begun() {
    try {
      const begun = JSON.parse(this.#drafts.get(this.#editKey) || "null");
      return [begun.id, begun.text, begun.before].every((each) => typeof each === "string") ? begun : null;
    } catch {
      return null;
    }
  }

  /** @param {string} text */
  #show(text) {
    const editing = this.#editing !== null;
    this.#field.value = text;
    this.#prompt();
    this.#label.textContent = editing ? "Edit your message" : "Message";
    this.#bar.hidden = !editing;
    this.#button.setAttribute("aria-label", editing ? "Save" : "Send");
    this.#button.title = editing ? "Save" : "Send";
    this.classList.toggle("is-editing", editing);
    this.#fit();
  }

  #prompt() {
    this.#field.placeholder = this.#editing === null ? `Message ${this.#name}` : "What it should say";
  }

  #keep() {
    if (this.#editing !== null) {
      const begun = { id: this.#editing, text: this.#field.value, before: this.#before };
      this.#drafts.set(this.#editKey, JSON.stringify(begun));
    } else {
      this.#drafts.set(this.#draftKey, this.#field.value);
    }
  }

  #fit() {
    const length = lengthInCharacters(this.#text());
    const left = TEXT_LIMIT_CHARACTERS - length;
    this.#count.hidden = length < COUNT_FROM_CHARACTERS;
    this.#count.textContent = left >= 0 ? `${left} left` : `${-left} too long`;
    this.#count.classList.toggle("too-long", left < 0);
    this.#button.disabled = length === 0 || left < 0;
    this.#field.style.setProperty("height", "auto");
    // What is shown where nothing is written has one line, however long the name of the room is.
    if (this.#field.value) this.#field.style.setProperty("height", `${this.#field.scrollHeight}px`);
  }
}

customElements.define("chat-composer", Composer);
