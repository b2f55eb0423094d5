// What a person has begun to write and not sent. It is the tab's own, for two tabs of one person write two things; and
// the browser's, for a tab that comes later, or after a crash. What one tab sends or drops takes no other tab's along.

/** @import { Keeper } from "./storage.js" */

export class Drafts {
  #tab;
  #browser;

  /**
   * @param {Keeper} tab
   * @param {Keeper} browser
   */
  constructor(tab, browser) {
    this.#tab = tab;
    this.#browser = browser;
  }

  /**
   * What this tab has begun there; where it never began anything, what was left by another one.
   *
   * @param {string} key
   */
  get(key) {
    const own = this.#tab.getItem(key);
    if (own !== null) return own;
    const left = this.#browser.getItem(key);
    if (left !== null) this.#tab.setItem(key, left);
    return left ?? "";
  }

  /**
   * @param {string} key
   * @param {string} text  Empty once it is sent, or dropped.
   */
  set(key, text) {
    const before = this.#tab.getItem(key);
    this.#tab.setItem(key, text);
    // The one that another tab has begun stays until that tab is through with it.
    const left = this.#browser.getItem(key);
    if (left !== null && left !== before) return;
    if (text) this.#browser.setItem(key, text);
    else this.#browser.removeItem(key);
  }

  /**
   * Keep nothing that was begun under keys like this one.
   *
   * @param {string} beginning  What is left of a key after it is the name of a room.
   */
  forget(beginning) {
    for (const keeper of [this.#tab, this.#browser]) {
      for (const key of keeper.keys()) {
        // A person may be called like the beginning of another's name; rooms have no dots in theirs.
        if (key.startsWith(beginning) && !key.slice(beginning.length).includes(".")) keeper.removeItem(key);
      }
    }
  }
}
