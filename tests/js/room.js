// A room as the server keeps it, in memory: enough of section 1.4 to answer joins and pages of history.

/** @import { HistoryPage, JoinAnswer, JoinRequest, Message } from "../../static/js/protocol.js" */

const PAGE_ROWS = 100;
const FAR_BEHIND = 1_000;

export class Room {
  head = 0;
  epoch = "epoch-1";
  /** @type {Message[]} Ascending by seq. */
  messages = [];

  /**
   * @param {string} content
   * @param {string} sender
   * @param {string} client_id
   * @returns {Message}
   */
  post(content, sender = "bob", client_id = `client-${this.epoch}-${this.head + 1}`) {
    this.head += 1;
    /** @type {Message} */
    const message = {
      id: `${this.epoch}/${this.head}`,
      room: "lobby",
      seq: this.head,
      changed: this.head,
      kind: "text",
      client_id,
      sender,
      name: `${sender}@example.com`,
      content,
      sent_at: 1_700_000_000_000 + this.head,
    };
    this.messages.push(message);
    return message;
  }

  /**
   * @param {number} nth Counted from one.
   * @param {string} content
   * @returns {Message}
   */
  edit(nth, content) {
    this.head += 1;
    this.messages[nth - 1] = { ...this.messages[nth - 1], content, changed: this.head };
    return this.messages[nth - 1];
  }

  startOver() {
    this.head = 0;
    this.messages = [];
    this.epoch = `epoch-${Number(this.epoch.slice(6)) + 1}`;
  }

  /**
   * @param {JoinRequest} request
   * @returns {JoinAnswer}
   */
  join({ cursor, epoch }) {
    const near = cursor !== undefined && cursor <= this.head && this.head - cursor <= FAR_BEHIND;
    if (!near || epoch !== this.epoch) {
      const page = this.history(Infinity);
      return { ...this.#common(), ...page, cursor: this.head, ...(cursor !== undefined && { reset: true }) };
    }
    const changes = this.messages.filter((row) => row.changed > cursor).sort((a, b) => a.changed - b.changed);
    const messages = changes.slice(0, PAGE_ROWS);
    const more = changes.length > messages.length;
    return { ...this.#common(), messages, more, cursor: more ? messages[messages.length - 1].changed : this.head };
  }

  /**
   * @param {number} before
   * @returns {HistoryPage}
   */
  history(before) {
    const all = this.messages.filter((row) => row.seq < before);
    return { messages: all.slice(-PAGE_ROWS), more: all.length > PAGE_ROWS };
  }

  #common() {
    return {
      you: { id: "alice", name: "alice@example.com", verified: false },
      room: { room: "lobby", name: "lobby", kind: /** @type {const} */ ("public"), topic: "", head: this.head, last: this.messages.at(-1)?.seq ?? 0 },
      here: { count: 0, people: [] },
      epoch: this.epoch,
    };
  }
}

/**
 * A small generator of repeatable chances (mulberry32), so that a failing mixture can be run again.
 *
 * @param {number} seed
 */
export function seeded(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}
