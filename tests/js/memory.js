// What a browser keeps, in memory.

export class Memory {
  /** @type {Map<string, string>} */
  #items = new Map();

  keys() {
    return [...this.#items.keys()];
  }

  /** @param {string} key */
  getItem(key) {
    return this.#items.get(key) ?? null;
  }

  /**
   * @param {string} key
   * @param {string} value
   */
  setItem(key, value) {
    this.#items.set(key, value);
  }

  /** @param {string} key */
  removeItem(key) {
    this.#items.delete(key);
  }
}
