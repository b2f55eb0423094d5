// One's place in a call: taken, kept through every loss of the connection, and given up. It drives the signalling, and
// passes on what comes by it, each in its turn.
//
//            take             entered
//   none ────────────▶ sought ────────────▶ held
//    ▲                   │                    │
//    ├── refused, left ──┘                    │
//    └── left, over, refused to come back ────┘

/** @import { Refusal, Result } from "../protocol.js" */
/** @import { Ear, Signaling } from "./signaling.js" */
/** @import { Entry, State } from "./wire.js" */

const UNREACHABLE_AFTER_MS = 1_500;
const JOIN_AGAIN_FIRST_MS = 300;
const JOIN_AGAIN_LONGEST_MS = 2_000;
const CONNECT_WITHIN_MS = 5_000;
const EARLY_KEPT = 500;

const TOO_OLD = "This page is too old for the server. Load it again.";

const PASSING = new Set(["timeout", "offline", "unavailable", "too-fast", "internal"]);

/** Whether a refusal may be another answer in a moment, and so says nothing of what was asked. @param {Refusal} refusal */
export const isPassing = ({ code }) => PASSING.has(code);

/** @typedef {"none" | "sought" | "held"} Standing */

/**
 * @typedef {object} Listener
 * @property {() => State} media  What this person would send.
 * @property {(entry: Entry) => Promise<boolean>} prepare  Whether this page can carry the call that one is let into.
 * @property {(entry: Entry, news: {first: boolean}) => void} entered  Anew, or back after a loss.
 * @property {(refusal: Refusal) => void} refused  There is no place for this person.
 * @property {(refusal: Refusal) => void} putOut   There is none any more.
 * @property {() => void} reachable                Whether the server can be reached is another thing now.
 */

/** What the server tells of the call. */
/** @typedef {Pick<Ear, "participant" | "signal" | "offer" | "media" | "moderated" | "call" | "superseded" | "ended">} Told */

/**
 * @typedef {object} World
 * @property {(ear: Ear) => Pick<Signaling, "open" | "close" | "ask" | "connected" | "sayGoodbye">} signaling
 * @property {() => string | undefined} token
 * @property {(run: () => void, ms: number) => unknown} later
 */

export class Attendance {
  #room;
  #world;
  #listener;
  #signaling;
  /** @type {Standing} */
  #standing = "none";
  /** @type {Entry | null} */
  #entry = null;
  #reachable = true;
  #joining = false;
  /** @type {(() => void)[]} */
  #early = [];
  /** Counts connections and losses, so that an answer or a timer knows whether it is about the present one. */
  #turn = 0;
  /** @type {(() => void)[]} Who waits for a connection. */
  #waiting = [];
  /** The token that the connection was made with. @type {string | undefined} */
  #usedToken;

  /**
   * @param {string} room
   * @param {World} world
   * @param {Listener} listener
   * @param {Told} told
   */
  constructor(room, world, listener, told) {
    this.#room = room;
    this.#world = world;
    this.#listener = listener;
    this.#signaling = world.signaling(this.#ear(told));
  }

  get standing() {
    return this.#standing;
  }

  get isHeld() {
    return this.#standing === "held";
  }

  /** What the server said when one was last let in. */
  get entry() {
    return this.#entry;
  }

  /** Whether the server can be reached; the media may go on without it. */
  get reachable() {
    return this.#reachable;
  }

  take() {
    this.#standing = "sought";
    if (this.#signaling.connected) void this.#join();
    else this.#signaling.open();
  }

  /** Leave, or stop trying to enter. */
  leave() {
    const left = this.isHeld ? this.ask("leave", {}) : null;
    this.#giveUp();
    // A connection that ends before the server has come to its last word is one that was lost: one's place would be kept.
    if (left) void left.then(() => this.#signaling.close());
    else this.#signaling.close();
  }

  /** The page goes away. */
  vanish() {
    if (this.isHeld) this.#signaling.sayGoodbye();
  }

  close() {
    this.#giveUp();
    this.#signaling.close();
  }

  /**
   * @template Answer
   * @param {string} event
   * @param {object} question
   * @returns {Promise<Result<Answer>>}
   */
  ask(event, question) {
    return this.#signaling.ask(event, question);
  }

  /**
   * Ask the server something that one need not be in the call for.
   *
   * @template Answer
   * @param {string} event
   * @returns {Promise<Result<Answer>>}
   */
  async inquire(event) {
    if (!this.#signaling.connected) {
      const connected = new Promise((resolve) => {
        this.#waiting.push(() => resolve(undefined));
        this.#world.later(() => resolve(undefined), CONNECT_WITHIN_MS);
      });
      this.#signaling.open();
      await connected;
    }
    return this.ask(event, { room: this.#room });
  }

  /**
   * @param {Told} told
   * @returns {Ear}
   */
  #ear(told) {
    return {
      moderated: told.moderated,
      call: told.call,
      superseded: () => this.#isOver(() => told.superseded()),
      ended: (ended) => this.#isOver(() => told.ended(ended)),
      participant: (news) => this.#inTurn(() => told.participant(news)),
      signal: (signal) => this.#inTurn(() => told.signal(signal)),
      offer: (offered) => this.#inTurn(() => told.offer(offered)),
      media: (news) => this.#inTurn(() => told.media(news)),
      token: () => (this.#usedToken = this.#world.token()),
      resume: () => this.#entry?.resume,
      connected: () => {
        this.#turn += 1;
        for (const go of this.#waiting.splice(0)) go();
        if (this.#isWanted()) void this.#join();
      },
      disconnected: () => this.#lost(),
      refused: (refusal) => {
        for (const go of this.#waiting.splice(0)) go();
        this.#refusedAtTheDoor(refusal);
      },
    };
  }

  /**
   * What comes while a join is under way may be older or newer than its answer; taken in after it, it is right either way.
   *
   * @param {() => void} act
   */
  #inTurn(act) {
    if (!this.#joining) act();
    else if (this.#early.length < EARLY_KEPT) this.#early.push(act);
  }

  /** There is no place any more; the connection may stay. */
  #giveUp() {
    this.#turn += 1;
    this.#standing = "none";
    this.#entry = null;
  }

  /** The server says that it is over. @param {() => void} tell */
  #isOver(tell) {
    if (!this.#isWanted()) return;
    this.#giveUp();
    tell();
  }

  #isWanted() {
    return this.#standing !== "none";
  }

  /** Join, and join again for as long as the server is there and does not say no. */
  async #join() {
    if (this.#joining) return;
    this.#joining = true;
    let failures = 0;
    while (this.#signaling.connected && this.#isWanted()) {
      const turn = this.#turn;
      const resume = this.#entry?.resume;
      const media = this.#listener.media();
      /** @type {Result<Entry>} */
      const result = await this.ask("join", { room: this.#room, media, ...(resume && { resume }) });
      if (!this.#isWanted()) break;
      if (turn !== this.#turn) continue;
      if (result.ok) {
        await this.#entered(result.answer);
        if (turn === this.#turn) break;
        continue;
      }
      const { code } = result.refusal;
      if (resume && this.#entry && code === "not-found") {
        // The place is not kept any more: one enters as somebody who comes.
        this.#entry = { ...this.#entry, resume: "" };
        continue;
      }
      if (!isPassing(result.refusal) || (!this.isHeld && code !== "offline" && code !== "timeout")) {
        this.#refuse(result.refusal);
        break;
      }
      failures += 1;
      const ms = Math.min(JOIN_AGAIN_FIRST_MS * 2 ** failures, JOIN_AGAIN_LONGEST_MS);
      await new Promise((resolve) => this.#world.later(() => resolve(undefined), ms));
    }
    this.#joining = false;
    for (const act of this.#early.splice(0)) act();
  }

  /** @param {Entry} entry */
  async #entered(entry) {
    this.#entry = entry;
    const carried = await this.#listener.prepare(entry);
    if (!this.#isWanted()) return;
    if (!carried) {
      // The server has become another version since this page was loaded.
      void this.ask("leave", {});
      this.#refuse({ code: "internal", message: TOO_OLD });
      return;
    }
    const first = !this.isHeld;
    this.#standing = "held";
    this.#reachable = true;
    this.#listener.entered(entry, { first });
  }

  #lost() {
    this.#turn += 1;
    const turn = this.#turn;
    // A loss that is mended within a moment is nobody's business.
    this.#world.later(() => {
      if (turn !== this.#turn || !this.#isWanted()) return;
      this.#reachable = false;
      this.#listener.reachable();
    }, UNREACHABLE_AFTER_MS);
  }

  /**
   * What this person came with is not good enough; a token that is fresher may be.
   *
   * @param {Refusal} refusal
   */
  #refusedAtTheDoor(refusal) {
    if (!this.#isWanted()) return; // only looked; they are told when they try
    if (refusal.code === "sign-in" && this.#world.token() !== this.#usedToken) this.#signaling.open();
    else this.#refuse(refusal);
  }

  /** @param {Refusal} refusal */
  #refuse(refusal) {
    const { isHeld } = this;
    this.#giveUp();
    if (isHeld) this.#listener.putOut(refusal);
    else this.#listener.refused(refusal);
  }
}
