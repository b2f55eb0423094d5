// What a person wrote and the server has not confirmed: messages, and changes of messages. A letter is noted in the
// journal when it is written, is stored before it is sent, keeps its `client_id` through every retry (so that a retry is
// harmless), and leaves only when the server has it or the person discards it.
// No DOM, no socket: what it needs from the world is handed in.
//
// All tabs of one person share the line of letters, and one of them sends: the one that holds the lease. It sends the
// head of the line, alone, until that is settled; so letters arrive in the order in which they were written.
//
//            write                answered, or heard
//   (nothing) ────▶ waiting ──────────────────────────▶ (gone)
//                    │   ▲                                 ▲
//     refused for good   │ retry                           │ discard, or heard after all
//                    ▼   │                                 │
//                   refused ───────────────────────────────┘

import { backOff } from "./backoff.js";

/** @import { Journal } from "./journal.js" */
/** @import { Letter, Store } from "./outbox-store.js" */
/** @import { Message, PostAnswer, Refusal, Result } from "./protocol.js" */

/** What the server says to a message, or to a change of one. @typedef {PostAnswer | Message} Answer */

const LEASE_MS = 5_000;
const WATCH_EVERY_MS = 2_000;
const BACK_OFF_MS = { first: 1_000, longest: 10_000 };
const TRIES_AFTER_INTERNAL_ERROR = 3;

/** Asking again would be answered in the same way; the person has to decide. */
const FOR_GOOD = new Set(["bad-request", "unknown-event", "too-long", "conflict", "forbidden", "not-found"]);

/** These say nothing about the message: it is sent again for as long as it takes. */
const RETRIED = new Set(["timeout", "offline", "unavailable", "too-fast", "full", "not-joined", "sign-in"]);

/** What tabs tell each other. @typedef {{is: "kept" | "gone", letter: Letter, answer?: Answer}} News */

/**
 * @typedef {object} World
 * @property {string} person            The account name, normalised.
 * @property {string} owner             Names this tab.
 * @property {Journal} journal
 * @property {Store} store
 * @property {(letter: Letter) => Promise<Result<Answer>>} send
 * @property {(room: string) => Promise<Refusal | null>} enter
 *   Join a room that the server says was not joined; answers why that could not be, if so.
 * @property {(news: News) => void} tell                 To the other tabs.
 * @property {() => void} changed                        The letters are not what they were.
 * @property {(letter: Letter, answer: Answer) => void} settled
 * @property {() => number} now
 * @property {(run: () => void, ms: number) => unknown} later
 * @property {() => number} random
 */

export class Outbox {
  /** @type {World} */
  #world;
  /** @type {Letter[]} In the order in which they were written. */
  #letters = [];
  /** @type {Set<Letter>} Not on disk yet, so not to be sent yet. */
  #beingStored = new Set();
  #ready = false;
  /** So from the start: before the line is read from the store, nobody knows its head. */
  #sending = true;
  /** Until when this tab is the one that sends. */
  #leaseUntil = 0;
  #closed = false;
  #wake = () => {};

  /** @param {World} world */
  constructor(world) {
    this.#world = world;
  }

  /** @returns {readonly Letter[]} */
  get letters() {
    return this.#letters;
  }

  /** Read what an earlier page left behind, and begin to send. */
  async open() {
    const { journal, store, person, tell, changed } = this.#world;
    const noted = journal.of(person);
    // Asked for before anything can be written here, so that these get the places before it.
    for (const letter of noted) void this.#keep(letter, store.put(letter));
    for (const client_id of journal.discards(person)) void this.#erase(client_id);
    const stored = await store.all(person).catch(() => []);
    /** @type {Map<string, Letter>} */
    const line = new Map();
    for (const letter of [...stored, ...noted, ...this.#letters]) line.set(letter.client_id, letter);
    this.#letters = [...line.values()];
    this.#order();
    changed();
    // Whoever wrote them may have gone before telling, and the tab that sends would send later ones first.
    for (const letter of stored) tell({ is: "kept", letter });
    this.#sending = false;
    this.#watch();
  }

  /**
   * Put a text in the line. It shows at once; it is sent after it is stored.
   *
   * @param {string} room
   * @param {string} content
   */
  write(room, content) {
    return this.#add({ room, content });
  }

  /**
   * Put a change of a stored message in the line. An earlier one that was refused is forgotten for it.
   *
   * @param {string} room
   * @param {string} target  The id of the message.
   * @param {string | null} content  Its new text, or null to delete it.
   */
  async change(room, target, content) {
    for (const letter of this.#letters) {
      if (letter.target === target && letter.refusal) void this.discard(letter.client_id);
    }
    await this.#add({ room, target, content: content ?? "", deletes: content === null });
  }

  /**
   * Send a refused letter again, as the same message.
   *
   * @param {string} client_id
   */
  async retry(client_id) {
    const letter = this.#find(client_id);
    if (!letter) return;
    letter.refusal = null;
    await this.#keep(letter, this.#world.store.put(letter));
  }

  /** @param {string} client_id */
  async discard(client_id) {
    const letter = this.#find(client_id);
    if (!letter) return;
    this.#world.journal.addDiscard(letter);
    await this.#drop(letter);
  }

  /** Discard them all: this person goes for good. */
  async discardAll() {
    await Promise.all(this.#letters.map(({ client_id }) => this.discard(client_id)));
  }

  /**
   * The server told this message to somebody, so it has it.
   *
   * @param {string} client_id
   */
  async heard(client_id) {
    const letter = this.#find(client_id);
    if (!letter) return;
    // Not told to the other tabs: they hear the message themselves, and until then the letter is their only row of it.
    this.#forget(letter);
    await this.#erase(client_id);
  }

  /**
   * Whether this tab can send now: connected and joined.
   *
   * @param {boolean} ready
   */
  setReady(ready) {
    if (ready === this.#ready) return;
    this.#ready = ready;
    this.#wake();
    if (ready) void this.#send();
    else this.#release();
  }

  /**
   * Take in what another tab of this person tells.
   *
   * @param {News} news
   */
  told({ is, letter, answer }) {
    if (letter.person !== this.#world.person) return;
    if (is === "gone" && answer) this.#world.settled(letter, answer);
    this.#forget(letter);
    if (is === "kept") {
      this.#letters.push(letter);
      this.#order();
    }
    this.#world.changed();
    void this.#send();
  }

  /** Stop for good, and let another tab send. */
  close() {
    this.#closed = true;
    this.setReady(false);
  }

  /** @param {Pick<Letter, "room" | "content" | "target" | "deletes">} what */
  async #add(what) {
    const { journal, store, person, now } = this.#world;
    // The journal knows the order by this alone, so no two letters are of one moment, whatever the clock says.
    const written_at = Math.max(now(), (this.#letters.at(-1)?.written_at ?? 0) + 1);
    /** @type {Letter} */
    const letter = { client_id: uuid(), person, ...what, written_at, refusal: null };
    journal.add(letter);
    this.#letters.push(letter);
    await this.#keep(letter, store.add(letter));
  }

  /**
   * @param {Letter} letter
   * @param {Promise<void>} storing
   */
  async #keep(letter, storing) {
    const { journal, tell, changed } = this.#world;
    changed();
    this.#beingStored.add(letter);
    // A full disk costs the safety, not the message: it is still in this tab's memory, and perhaps in the journal.
    await storing.then(() => journal.remove(letter.client_id)).catch(() => {});
    this.#beingStored.delete(letter);
    tell({ is: "kept", letter });
    void this.#send();
  }

  /**
   * @param {Letter} letter
   * @param {Answer} [answer]
   */
  async #drop(letter, answer) {
    const { tell, changed, settled } = this.#world;
    this.#forget(letter);
    if (answer) settled(letter, answer);
    changed();
    await this.#erase(letter.client_id);
    tell({ is: "gone", letter, answer });
  }

  /** @param {string} client_id */
  async #erase(client_id) {
    const { journal, store } = this.#world;
    journal.remove(client_id);
    await store.remove(client_id).catch(() => {});
    journal.removeDiscard(client_id);
  }

  /** Send from the head of the line until it is empty, or until this tab cannot or may not send. */
  async #send() {
    if (this.#sending) return;
    this.#sending = true;
    let tries = 0;
    let last = "";
    let entered = false;
    while (this.#ready && this.#head() && (await this.#holdsLease())) {
      const letter = this.#head();
      if (!letter || !this.#ready) break;
      tries = letter.client_id === last ? tries + 1 : 1;
      entered &&= letter.client_id === last;
      last = letter.client_id;
      let result = await this.#world.send(letter);
      if (!result.ok && isOutside(letter, result.refusal) && !entered) {
        const refusal = await this.#world.enter(letter.room);
        entered = refusal === null;
        if (entered) continue;
        result = { ok: false, refusal: /** @type {Refusal} */ (refusal) };
      } else entered = false;
      // While the answer was on its way, the message itself may have come by another way, or the person gave it up.
      const current = this.#find(letter.client_id);
      if (result.ok) await this.#drop(letter, result.answer);
      else if (current) await this.#refused(current, result.refusal, tries);
    }
    this.#sending = false;
  }

  /**
   * @param {Letter} letter
   * @param {Refusal} refusal
   * @param {number} tries
   */
  async #refused(letter, refusal, tries) {
    const unforeseen = !RETRIED.has(refusal.code) && tries >= TRIES_AFTER_INTERNAL_ERROR;
    if (FOR_GOOD.has(refusal.code) || unforeseen) {
      letter.refusal = refusal;
      await this.#keep(letter, this.#world.store.put(letter));
      return;
    }
    if (!this.#ready) return;
    await this.#pause(backOff(tries, BACK_OFF_MS, this.#world.random()));
  }

  /** The letter to send next, if it may be sent yet. */
  #head() {
    const head = this.#letters.find((letter) => letter.refusal === null);
    return head && !this.#beingStored.has(head) ? head : undefined;
  }

  /** @param {string} client_id */
  #find(client_id) {
    return this.#letters.find((letter) => letter.client_id === client_id);
  }

  /** @param {Letter} letter */
  #forget(letter) {
    this.#letters = this.#letters.filter(({ client_id }) => client_id !== letter.client_id);
  }

  /** The store gives the places; what has none yet was written last. */
  #order() {
    const last = Number.MAX_SAFE_INTEGER;
    this.#letters.sort((a, b) => (a.place ?? last) - (b.place ?? last));
  }

  /** Keep the lease while sending; else look whether another tab's has run out over letters that still wait. */
  #watch() {
    if (this.#closed) return;
    if (this.#ready) void (this.#sending ? this.#holdsLease() : this.#send());
    this.#world.later(() => this.#watch(), WATCH_EVERY_MS);
  }

  async #holdsLease() {
    const { store, person, owner, now } = this.#world;
    const until = now() + LEASE_MS;
    // Sending twice is harmless and not sending is not: where the store fails, this tab goes ahead.
    const held = await store.claim({ person, owner, until }, now()).catch(() => true);
    this.#leaseUntil = held ? until : 0;
    // What had to be given up meanwhile could not be yet.
    if (!this.#ready) this.#release();
    return held;
  }

  /** In one step, without asking whose the lease is: the page may be about to go, and has no time for an answer. */
  #release() {
    const { store, person, now } = this.#world;
    if (this.#leaseUntil > now()) void store.release(person).catch(() => {});
    this.#leaseUntil = 0;
  }

  /**
   * Wait, but not beyond the next change of the connection.
   *
   * @param {number} ms
   * @returns {Promise<void>}
   */
  #pause(ms) {
    return new Promise((resolve) => {
      this.#wake = resolve;
      this.#world.later(resolve, ms);
    });
  }
}

/**
 * A UUID of version 7 (RFC 9562): it begins with the time, so that a server keeps what is sent together side by side.
 * `crypto.randomUUID` makes version 4, and only in secure contexts; a chat in the house is often plain http.
 */
export function uuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  const view = new DataView(bytes.buffer);
  const now = Date.now();
  view.setUint32(0, now / 0x10000);
  view.setUint16(4, now % 0x10000);
  bytes[6] = (bytes[6] & 0x0f) | 0x70;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

/**
 * The name as a key: however it was typed, it is the same person.
 *
 * @param {string} name
 */
export function personOf(name) {
  return name.trim().normalize("NFC").toLowerCase();
}

/**
 * Whether a refusal says that the room was not joined. Whoever is not in a room is told that there is no such message.
 *
 * @param {Letter} letter
 * @param {Refusal} refusal
 */
function isOutside(letter, refusal) {
  return refusal.code === "not-joined" || (refusal.code === "not-found" && letter.target !== undefined);
}
