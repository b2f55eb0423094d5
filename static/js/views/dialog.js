// What every dialog of ours has: a way out by a button, Escape or a touch beside it, and a place for what was refused.
// The focus goes back to where it was by the browser's own rules.

import { part } from "./part.js";

export class Dialog extends HTMLElement {
  dialog = this.piece("dialog", HTMLDialogElement);
  #refused = this.piece("[data-refused]", HTMLElement);

  constructor() {
    super();
    this.piece("[data-close]", HTMLElement).addEventListener("click", () => this.dialog.close());
    this.dialog.addEventListener("click", (event) => {
      if (event.target === this.dialog) this.dialog.close();
    });
  }

  show() {
    this.say("");
    if (!this.dialog.open) this.dialog.showModal();
  }

  /**
   * Say why something was not done; nothing clears it.
   *
   * @param {string} words
   */
  say(words) {
    this.#refused.textContent = words;
    if (words) this.#refused.scrollIntoView({ block: "nearest" });
  }

  /**
   * An element that the templates promise.
   *
   * @template {Element} Kind
   * @param {string} selector
   * @param {new (...args: any[]) => Kind} kind
   * @returns {Kind}
   */
  piece(selector, kind) {
    return part(this, selector, kind);
  }
}
