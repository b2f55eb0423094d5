// Who is speaking, from how loud everybody is: smoothed, so that a mark neither flickers nor follows a cough. Pure state.

const ATTACK = 0.7;
const RELEASE = 0.3;
const SPEAKS_FROM = 0.02;
const HELD_MS = 1_500;

export class Speakers {
  /** @type {Map<string, {level: number, until: number}>} */
  #people = new Map();

  /**
   * Take in the levels of this moment, from 0 to 1; whoever is not named is silent.
   *
   * @param {Iterable<[string, number]>} levels
   * @param {number} now
   * @returns {boolean} Whether somebody begins or ends to speak.
   */
  heard(levels, now) {
    const before = [...this.speaking].join(" ");
    const loud = new Map(levels);
    for (const id of new Set([...this.#people.keys(), ...loud.keys()])) {
      const known = this.#people.get(id) ?? { level: 0, until: 0 };
      const level = loud.get(id) ?? 0;
      known.level += (level - known.level) * (level > known.level ? ATTACK : RELEASE);
      if (known.level >= SPEAKS_FROM) known.until = now + HELD_MS;
      if (known.until > now) this.#people.set(id, known);
      else this.#people.delete(id);
    }
    return before !== [...this.speaking].join(" ");
  }

  /** Everybody who is speaking. */
  get speaking() {
    return new Set(this.#people.keys());
  }

  /** @param {string} id */
  forget(id) {
    this.#people.delete(id);
  }
}
