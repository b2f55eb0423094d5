// The messages of one room as this page holds them: a window that reaches from some oldest row to the newest one.
// Pure state. It asks nobody anything; it only says what to ask (`joinRequest`) and whether to ask (`incomplete`).
//
// The server numbers the changes of a room 1, 2, 3 … without holes. The cursor is the last number up to which this
// window is known to be right. A live event with the next number moves it; one further ahead proves that something
// was missed, so it is held until the missing numbers have come, by themselves or in the answer of a join.
//
// The caller has one join under way at a time, so that answers come in the order in which they were asked for.
// A timeline outlives its connection once it has joined, because it then knows the epoch of its numbers. One that has
// heard events but no answer does not: with the next connection, begin with a new one.

/** @import { Draft, HistoryPage, JoinAnswer, JoinRequest, Message, Person, PostAnswer } from "./protocol.js" */

const HELD_LIMIT = 1_000;
const UNSHOWN_LIMIT = 1_000;

export class Timeline {
  /** @type {string} */
  #room;
  /** @type {number | null} */
  #cursor = null;
  /** @type {string | null} */
  #epoch = null;
  /** @type {Message[]} */
  #rows = [];
  #hasOlder = false;

  /** The highest number heard of. Above the cursor it means: there is a hole. */
  #heardUpTo = 0;
  /** An answer said, or implies, that it was not the last page. */
  #askAgain = false;
  /** @type {Map<number, Message>} Events ahead of the cursor, by their number. */
  #held = new Map();
  /** @type {Map<string, Message>} News of rows above the window: a page of history read before them would be stale. */
  #unshown = new Map();

  /** @param {string} room */
  constructor(room) {
    this.#room = room;
  }

  get cursor() {
    return this.#cursor;
  }

  get epoch() {
    return this.#epoch;
  }

  /** @returns {readonly Message[]} Ascending by `seq`. */
  get rows() {
    return this.#rows;
  }

  /** Whether the server has messages from before the first row. */
  get hasOlder() {
    return this.#hasOlder;
  }

  /** Whether the caller has to emit `joinRequest()` (again). */
  get incomplete() {
    return this.#cursor === null || this.#askAgain || this.#heardUpTo > this.#cursor;
  }

  /** @returns {JoinRequest} */
  joinRequest() {
    if (this.#cursor === null || this.#epoch === null) return { room: this.#room };
    return { room: this.#room, cursor: this.#cursor, epoch: this.#epoch };
  }

  /**
   * Apply the answer of a join.
   *
   * @param {JoinAnswer} answer
   * @returns {{reset: boolean}} Whether rows were dropped because the conversation started over.
   */
  joined(answer) {
    if (this.#cursor === null) {
      this.#open(answer);
      return { reset: false };
    }
    // The answer of a reset never stands exactly at the cursor, unless it is the very one that was applied already.
    const renumbered = answer.epoch !== this.#epoch;
    if (renumbered || (answer.reset && answer.cursor !== this.#cursor)) {
      this.#startOver(answer, renumbered ? 0 : this.#cursor);
      return { reset: true };
    }
    this.#catchUp(answer, this.#cursor);
    return { reset: false };
  }

  /**
   * Take in a live event.
   *
   * @param {Message} message
   * @returns {"applied" | "known" | "held"}
   */
  heard(message) {
    this.#heardUpTo = Math.max(this.#heardUpTo, message.changed);
    if (this.#cursor !== null && message.changed <= this.#cursor) return "known";
    if (this.#cursor !== null && message.changed === this.#cursor + 1) {
      this.#cursor = message.changed;
      this.#show(message);
      this.#release();
      return "applied";
    }
    // A join brings whatever is missing, so the bound costs one more page and never a message.
    if (this.#held.size >= HELD_LIMIT) this.#held.clear();
    this.#held.set(message.changed, message);
    return "held";
  }

  /**
   * Take in how far the room has come: above the cursor, the event that says so was lost.
   *
   * @param {number} head
   */
  reached(head) {
    this.#heardUpTo = Math.max(this.#heardUpTo, head);
  }

  /**
   * Take in the server's answer to a message of this person's own.
   *
   * An answer may overtake the events before it, so its number can be ahead of the cursor. The row is shown all the
   * same: its author was told that it is stored. The cursor waits, as for every other event.
   *
   * @param {PostAnswer} answer
   * @param {Draft} draft
   * @param {Person} you
   * @returns {"applied" | "known" | "held"}
   */
  acked(answer, draft, you) {
    /** @type {Message} */
    const message = {
      id: answer.id,
      room: this.#room,
      seq: answer.seq,
      changed: answer.changed,
      kind: "text",
      client_id: draft.client_id,
      sender: you.id,
      name: you.name,
      content: draft.content,
      sent_at: answer.sent_at,
    };
    return this.answered(message);
  }

  /**
   * Take in the newest state of an own message, which is the server's answer to a change of it.
   *
   * @param {Message} message
   * @returns {"applied" | "known" | "held"}
   */
  answered(message) {
    const outcome = this.heard(message);
    if (outcome === "held") this.#show(message);
    return outcome;
  }

  /**
   * Apply a page of history that ends where the window begins.
   *
   * @param {HistoryPage} page
   */
  older(page) {
    const oldest = this.#rows[0]?.seq ?? Infinity;
    const reachesBack = page.messages.length === 0 || page.messages[0].seq <= oldest;
    if (reachesBack) this.#hasOlder = page.more;
    for (const message of page.messages) {
      const news = this.#unshown.get(message.id);
      this.#unshown.delete(message.id);
      this.#place(news && news.changed > message.changed ? news : message);
    }
  }

  /**
   * Forget the oldest rows, so that an open page stays small however long it is open. They remain a page of history.
   *
   * @param {number} keep How many of the newest rows stay.
   */
  trim(keep) {
    if (this.#rows.length <= keep) return;
    this.#rows.splice(0, this.#rows.length - keep);
    this.#hasOlder = true;
  }

  /** @param {JoinAnswer} answer */
  #open(answer) {
    // Own messages may have been acknowledged before this answer; those that it does not cover yet stay in sight.
    const ahead = this.#rows.filter((row) => row.changed > answer.cursor);
    this.#take(answer);
    for (const row of ahead) this.#place(row);
    this.#release();
  }

  /**
   * @param {JoinAnswer} answer
   * @param {number} knownUpTo Where the window stood, if its numbers still mean something.
   */
  #startOver(answer, knownUpTo) {
    // What was heard before this answer was measured against numbers that no longer hold, and the server may have told
    // something new before it answered. Nobody can tell the two apart, so it is dropped and asked for once more.
    const unsure = Math.max(this.#heardUpTo, knownUpTo) > answer.cursor;
    this.#held.clear();
    this.#heardUpTo = answer.cursor;
    this.#take(answer);
    this.#askAgain = unsure;
  }

  /**
   * Replace the window by the newest page.
   *
   * @param {JoinAnswer} answer
   */
  #take(answer) {
    this.#cursor = answer.cursor;
    this.#epoch = answer.epoch;
    this.#hasOlder = answer.more;
    this.#askAgain = false;
    this.#unshown.clear();
    this.#rows = [];
    for (const message of answer.messages) this.#place(message);
  }

  /**
   * @param {JoinAnswer} answer
   * @param {number} cursor Where the window stands now, which may be further than when it asked.
   */
  #catchUp(answer, cursor) {
    for (const message of answer.messages) this.#show(message);
    if (answer.cursor > cursor) {
      this.#cursor = answer.cursor;
      this.#askAgain = answer.more;
    } else if (answer.cursor === cursor && !answer.more && !answer.reset) {
      this.#askAgain = false;
    }
    this.#release();
  }

  /** Apply the held events that now follow the cursor, and drop those that it has passed. */
  #release() {
    let cursor = this.#cursor ?? 0;
    for (let next = this.#held.get(cursor + 1); next; next = this.#held.get(cursor + 1)) {
      cursor = next.changed;
      this.#show(next);
    }
    this.#cursor = cursor;
    for (const changed of this.#held.keys()) {
      if (changed <= cursor) this.#held.delete(changed);
    }
  }

  /**
   * Put a message in its place, unless that place is in the history that was not loaded.
   *
   * @param {Message} message
   */
  #show(message) {
    const oldest = this.#rows[0];
    if (!this.#hasOlder || !oldest || message.seq >= oldest.seq) {
      this.#place(message);
      return;
    }
    if (this.#unshown.size >= UNSHOWN_LIMIT) this.#unshown.delete([...this.#unshown.keys()][0]);
    this.#unshown.set(message.id, message);
  }

  /**
   * Insert a row at its `seq`, or replace the one that is there by a newer state.
   *
   * @param {Message} message
   */
  #place(message) {
    const before = this.#rows.findLastIndex((row) => row.seq <= message.seq);
    const row = this.#rows[before];
    if (row?.seq !== message.seq) this.#rows.splice(before + 1, 0, message);
    else if (message.changed > row.changed) this.#rows[before] = message;
  }
}
