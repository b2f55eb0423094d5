// After a call that one did not leave by oneself: why it is over, and what next.

/** @import { Farewell } from "../call/news.js" */

import { part } from "./part.js";


/** @typedef {{again: () => void, close: () => void}} Wishes */

export class CallFarewell extends HTMLElement {
  /** @type {Wishes | null} */
  wishes = null;

  #title = part(this, "[data-title]", HTMLElement);
  #again = part(this, "[data-again]", HTMLButtonElement);
  #close = part(this, "[data-close]", HTMLButtonElement);

  constructor() {
    super();
    this.#again.addEventListener("click", () => this.wishes?.again());
    this.#close.addEventListener("click", () => this.wishes?.close());
  }

  /**
   * @param {Farewell | null} farewell
   * @param {boolean} closable
   */
  show(farewell, closable) {
    const news = this.hasAttribute("hidden") && farewell !== null;
    this.hidden = farewell === null;
    if (!farewell) return;
    this.#title.textContent = farewell.title;
    part(this, "[data-words]", HTMLElement).textContent = farewell.words;
    this.#again.hidden = !farewell.again;
    this.#close.hidden = !closable;
    if (news) this.#title.focus();
  }
}

customElements.define("call-farewell", CallFarewell);
