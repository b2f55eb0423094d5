// A clock that moves when told, and lets everything that is due happen on the way.

export class Clock {
  now = 1_000_000;
  /** @type {{at: number, run: () => void}[]} */
  #timers = [];

  /**
   * @param {() => void} run
   * @param {number} ms
   */
  later(run, ms) {
    this.#timers.push({ at: this.now + ms, run });
  }

  /** @param {number} ms */
  async advance(ms) {
    const end = this.now + ms;
    await idle();
    for (;;) {
      const [next] = this.#timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at);
      if (!next) break;
      this.#timers.splice(this.#timers.indexOf(next), 1);
      this.now = Math.max(this.now, next.at);
      next.run();
      await idle();
    }
    this.now = end;
  }
}

/** Let everything that waits for nothing but its turn have its turn (the fake IndexedDB takes several). */
export async function idle() {
  for (let turn = 0; turn < 60; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}
