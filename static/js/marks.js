// How far this person has read, on its way to the server, which tells it to every other tab and device of theirs.
// Only the newest mark of a room counts: in an ordinary talk it is told at once, and in a torrent, which a thousand people
// may be watching, ever more rarely. One that got lost is told again with the next connection, because the rooms
// remember it.

/** @import { Result } from "./protocol.js" */

const REST_MS = 500;
const REST_LONGEST_MS = 4_000;
/** More than so many moves in a second are a torrent. */
const TORRENT = 2;

/** With these, the same may be said again later. */
const AGAIN = new Set(["timeout", "offline", "unavailable", "too-fast"]);

/**
 * @typedef {object} World
 * @property {(room: string, seq: number) => Promise<Result<object>>} tell
 * @property {(run: () => void, ms: number) => unknown} later
 */

export class Marks {
  #world;
  /** @type {Map<string, number>} */
  #waiting = new Map();
  /** @type {Map<string, number>} What this connection has told. */
  #told = new Map();
  #ready = false;
  #resting = false;
  #rest = REST_MS;
  /** How often something moved during the present rest. */
  #moves = 0;

  /** @param {World} world */
  constructor(world) {
    this.#world = world;
  }

  /**
   * @param {string} room
   * @param {number} seq
   */
  read(room, seq) {
    if (seq <= Math.max(this.#told.get(room) ?? 0, this.#waiting.get(room) ?? 0)) return;
    this.#waiting.set(room, seq);
    this.#moves += 1;
    this.#tell();
  }

  /**
   * Whether there is a connection that has joined.
   *
   * @param {boolean} ready
   */
  setReady(ready) {
    this.#ready = ready;
    if (ready) this.#tell();
    else this.#told.clear();
  }

  /** The numbers mean nothing any more. */
  forget() {
    this.#waiting.clear();
    this.#told.clear();
  }

  #tell() {
    if (!this.#ready || this.#resting || this.#waiting.size === 0) return;
    this.#resting = true;
    this.#moves = 0;
    this.#world.later(() => this.#rested(), this.#rest);
    for (const [room, seq] of this.#waiting) void this.#tellOne(room, seq);
    this.#waiting.clear();
  }

  #rested() {
    const torrent = this.#moves > (TORRENT * this.#rest) / 1000;
    this.#rest = torrent ? Math.min(this.#rest * 2, REST_LONGEST_MS) : REST_MS;
    this.#resting = false;
    this.#tell();
  }

  /**
   * @param {string} room
   * @param {number} seq
   */
  async #tellOne(room, seq) {
    this.#told.set(room, seq);
    const result = await this.#world.tell(room, seq);
    if (result.ok || !AGAIN.has(result.refusal.code) || this.#told.get(room) !== seq) return;
    this.#told.delete(room);
    this.read(room, seq);
  }
}
