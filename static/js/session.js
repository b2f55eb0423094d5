// One person in one room at a time: joins, catches up, comes back after a loss, repairs holes.
// No DOM. It drives the timelines through a connection and tells a listener what changed.

/** @import { Connection, Ear } from "./connection.js" */
/** @import { Letter } from "./outbox-store.js" */
/** @import { Answer } from "./outbox.js" */
/** @import { Gone, HistoryPage, JoinAnswer, Message, Refusal, Result, Room, You } from "./protocol.js" */

import { backOff } from "./backoff.js";
import { Roster } from "./roster.js";
import { Timeline } from "./timeline.js";

const OFFLINE_AFTER_MS = 1_000;
const REPAIR_AFTER_MS = 250;
const RECOUNT_AFTER_MS = 2_000;
const BACK_OFF_MS = { first: 500, longest: 10_000 };
const LEAVE_AGAIN_MS = 1_000;
const VISIT_MS = 15_000;
const TYPING_SHOWN_MS = 6_000;
const TYPING_TOLD_EVERY_MS = 3_000;
const TIMELINES_KEPT = 10;
const HISTORY_PAGE_ROWS = 100;

/** Refusals of a join that asking again will not change. */
const FOR_GOOD = new Set(["bad-request", "unknown-event", "sign-in", "forbidden", "not-found", "too-long", "conflict"]);

/** @typedef {"connecting" | "online" | "offline"} Status */

/** To the room that is open: not in it (yet), in it, or not let in; that lasts until one goes elsewhere or comes anew. */
/** @typedef {"out" | "in" | "refused"} Standing */

/**
 * How far a room has come, and whether by this person's own message; and what else was told of it.
 *
 * @typedef {Partial<Room> & {room: string, last: number, own?: boolean}} News
 */

/**
 * @typedef {object} Listener
 * @property {() => void} status
 * @property {(answer: JoinAnswer, news: {reset: boolean}) => void} joined
 * @property {() => void} rows
 * @property {(message: Message) => void} heard    A live message or change of one, in the room that is open.
 * @property {() => void} people
 * @property {() => void} typing
 * @property {(news: News) => void} room
 * @property {(room: string, words?: string) => void} gone  A room is not this person's any more.
 * @property {(rooms: Set<string>) => void} mine  The rooms of this person but for the open one, all that are told of.
 * @property {() => void} you                             This person is something else here from now on.
 * @property {(refusal: Refusal) => void} refused  This person cannot be in this room.
 * @property {(refusal: Refusal) => void} ended    This person cannot be on this server.
 */

/**
 * @typedef {object} World
 * @property {(ear: Ear) => Pick<Connection, "open" | "close" | "ask" | "connected">} connect
 * @property {Listener} listener
 * @property {(run: () => void, ms: number) => unknown} later
 * @property {() => number} now
 * @property {() => number} random
 */

export class Session {
  #world;
  #connection;
  #name;
  /** @type {string | undefined} */
  #token;
  #tokenUsed = false;
  /** @type {You | null} */
  #you = null;

  /** @type {string} */
  #room;
  /** @type {Map<string, Timeline>} The least recently opened first. */
  #timelines = new Map();
  #roster = new Roster();
  /** @type {Map<string, number>} Until when each name is shown as typing. */
  #typists = new Map();
  /** @type {Map<string, object>} Rooms that this connection joined, perhaps, only to post what had been written there. */
  #visits = new Map();

  /** @type {Status} */
  #status = "connecting";
  /** @type {Map<string, Room | Gone>} What was told of rooms before the answer of a join says which numbering that is of. */
  #early = new Map();
  /** @type {Standing} */
  #standing = "out";
  #joining = false;
  /** Whether this connection has joined nothing yet: before its first answer the server tells of this person's rooms. */
  #new = true;
  #closed = false;
  /** Counts the connections and losses, so that a timer knows whether it is about the present one. */
  #turn = 0;
  #repairing = false;
  #recounting = false;
  #reading = false;
  /** How many connections there have been. */
  #connections = 0;
  #toldTypingAt = -Infinity;
  #wake = () => {};

  /**
   * @param {{name: string, token?: string, room: string}} who
   * @param {World} world
   */
  constructor({ name, token, room }, world) {
    this.#world = world;
    this.#name = name;
    this.#token = token;
    this.#room = room;
    this.#connection = world.connect(this.#ear());
  }

  get status() {
    return this.#status;
  }

  get room() {
    return this.#room;
  }

  get you() {
    return this.#you;
  }

  get token() {
    return this.#token;
  }

  get roster() {
    return this.#roster;
  }

  get typists() {
    return [...this.#typists.keys()];
  }

  get timeline() {
    return this.#timelineOf(this.#room);
  }

  open() {
    this.#lost();
    this.#connection.open();
  }

  close() {
    this.#closed = true;
    this.#connection.close();
    this.#wake();
  }

  /**
   * Go to another room. What was loaded of this one is kept, and coming back is a catch-up.
   *
   * @param {string} room
   */
  enter(room) {
    if (room === this.#room) return;
    const left = this.#room;
    this.#room = room;
    this.#visits.delete(room);
    void this.#leave(left);
    this.#standing = "out";
    this.#roster = new Roster();
    this.#typists.clear();
    this.#wake();
    void this.#catchUp();
  }

  /**
   * Leave a room. The question can be lost while the connection stays, and whoever is there would go on seeing us; so it
   * is asked until it is answered, or until the connection is another one, which begins in no room.
   *
   * @param {string} room
   */
  async #leave(room) {
    const connection = this.#connections;
    while (connection === this.#connections && this.#connection.connected) {
      if (room === this.#room || this.#visits.has(room)) return; // back already
      const result = await this.#connection.ask("leave", { room });
      if (result.ok) return;
      await new Promise((resolve) => this.#world.later(() => resolve(undefined), LEAVE_AGAIN_MS));
    }
  }

  /** Load the page of history above the window. */
  async loadOlder() {
    const timeline = this.timeline;
    const before = timeline.rows[0]?.seq;
    if (this.#reading || !timeline.hasOlder || before === undefined) return;
    this.#reading = true;
    const question = { room: this.#room, before, limit: HISTORY_PAGE_ROWS };
    /** @type {Result<HistoryPage>} */
    const result = await this.#connection.ask("history", question);
    this.#reading = false;
    // The window may have been trimmed or begun anew meanwhile; the page would then leave a hole.
    if (!result.ok || timeline.rows[0]?.seq !== before) return;
    timeline.older(result.answer);
    if (timeline === this.timeline) this.#world.listener.rows();
  }

  /**
   * Post one message, or change one, for the outbox.
   *
   * @param {Letter} letter
   * @returns {Promise<Result<Answer>>}
   */
  async post({ room, client_id, content, target, deletes }) {
    this.#toldTypingAt = -Infinity; // a message takes its author off the list of who is typing
    /** @type {Result<Answer>} */
    const result = await (target === undefined
      ? this.#connection.ask("message", { room, client_id, content })
      : this.#connection.ask(deletes ? "delete" : "edit", deletes ? { id: target } : { id: target, content }));
    if (result.ok) this.#endVisit(room);
    return result;
  }

  /**
   * Join the room of a letter once more, because the server says that this connection is not in it.
   *
   * @param {string} room
   * @returns {Promise<Refusal | null>} Why that could not be, if so.
   */
  async enterToPost(room) {
    if (room === this.#room) {
      if (this.#isIn) this.#standing = "out";
      const refusal = await this.#catchUp();
      if (refusal) return refusal;
      return this.#isIn ? null : { code: "unavailable", message: "The room is being joined." };
    }
    // A join whose answer got lost may have been heard all the same, so the visit begins with the question.
    this.#beginVisit(room);
    const result = await this.#connection.ask("join", this.#named({ room }));
    return result.ok ? null : result.refusal;
  }

  /**
   * Whoever visits is seen there. So a visit ends when what was to be posted is posted, and in any case after a while:
   * the letter may have been settled by another way, or be refused.
   *
   * @param {string} room
   */
  #beginVisit(room) {
    const visit = {};
    this.#visits.set(room, visit);
    this.#world.later(() => {
      if (this.#visits.get(room) === visit) this.#endVisit(room);
    }, VISIT_MS);
  }

  /** @param {string} room */
  #endVisit(room) {
    if (this.#visits.delete(room)) void this.#leave(room);
  }

  /**
   * Take in that a letter was stored, whichever tab sent it.
   *
   * @param {Letter} letter
   * @param {Answer} answer
   */
  settled(letter, answer) {
    if (!this.#you) return;
    const timeline = this.#timelines.get(letter.room);
    if ("content" in answer) timeline?.answered(answer);
    else timeline?.acked(answer, letter, this.#you);
    if (letter.room === this.#room) this.#changed();
    else if (!("content" in answer)) this.#world.listener.room({ room: letter.room, last: answer.seq, own: true });
  }

  /**
   * Ask the server something about rooms and people.
   *
   * @template Answer
   * @param {string} event
   * @param {object} question
   * @returns {Promise<Result<Answer>>}
   */
  ask(event, question) {
    return this.#connection.ask(event, question);
  }

  /**
   * Tell the server how far this person has read.
   *
   * @param {string} room
   * @param {number} seq
   * @returns {Promise<Result<object>>}
   */
  tellRead(room, seq) {
    return this.#connection.ask("read", { room, seq });
  }

  /** Say that this person is typing, now and then. */
  tellTyping() {
    const now = this.#world.now();
    if (!this.#isIn || now - this.#toldTypingAt < TYPING_TOLD_EVERY_MS) return;
    this.#toldTypingAt = now;
    void this.#connection.ask("typing", { room: this.#room });
  }

  /** The browser says that there is no network; believe it at once. */
  networkLost() {
    this.#setStatus("offline");
  }

  /** @returns {Ear} */
  #ear() {
    const { listener } = this.#world;
    return {
      token: () => {
        this.#tokenUsed = this.#token !== undefined;
        return this.#token;
      },
      tokenRefused: () => (this.#token = undefined),
      connected: () => {
        this.#connections += 1;
        this.#new = true;
        this.#visits.clear();
        this.#forgetUnopened();
        void this.#catchUp();
      },
      disconnected: () => this.#lost(),
      ended: (refusal) => listener.ended(refusal),
      message: (message) => this.#heard(message),
      presence: (presence) => {
        if (presence.room !== this.#room) return;
        this.#roster.changed(presence);
        listener.people();
        if (this.#roster.doubtful) this.#recount();
      },
      room: (room) => {
        if (this.#new) this.#early.set(room.room, since(this.#early.get(room.room), room));
        else this.#told(room);
      },
      you: (you) => {
        this.#you = { ...this.#you, ...you };
        listener.you();
      },
      typing: ({ room, name }) => {
        if (room !== this.#room) return;
        this.#typists.set(name, this.#world.now() + TYPING_SHOWN_MS);
        this.#world.later(() => this.#forgetTypists(), TYPING_SHOWN_MS);
        listener.typing();
      },
    };
  }

  /** @param {Message} message */
  #heard(message) {
    const { listener } = this.#world;
    if (message.room !== this.#room) {
      if (message.changed > message.seq) return;
      listener.room({ room: message.room, last: message.seq, own: message.sender === this.#you?.id });
      return;
    }
    if (this.timeline.heard(message) === "known") return;
    if (message.changed === message.seq && this.#typists.delete(message.name)) listener.typing();
    listener.heard(message);
    this.#changed();
  }

  #changed() {
    this.#world.listener.rows();
    if (this.timeline.incomplete) this.#repair();
  }

  /** An answer may overtake the events before it, so a hole often closes by itself; look again in a moment. */
  #repair() {
    if (this.#repairing || !this.#isIn) return;
    this.#repairing = true;
    this.#world.later(() => {
      this.#repairing = false;
      if (this.#isIn && this.timeline.incomplete) void this.#catchUp();
    }, REPAIR_AFTER_MS);
  }

  #recount() {
    if (this.#recounting) return;
    this.#recounting = true;
    this.#world.later(() => {
      this.#recounting = false;
      if (!this.#isIn || !this.#roster.doubtful) return;
      this.#standing = "out";
      void this.#catchUp();
    }, RECOUNT_AFTER_MS);
  }

  get #isIn() {
    return this.#standing === "in";
  }

  /**
   * Join, and join again from the new cursor for as long as something is missing.
   *
   * @returns {Promise<Refusal | null>} Why this person cannot be in the room, if so.
   */
  async #catchUp() {
    if (this.#joining) return null;
    this.#joining = true;
    /** @type {Refusal | null} */
    let refusal = null;
    let failures = 0;
    while (this.#connection.connected && (!this.#isIn || this.timeline.incomplete)) {
      const room = this.#room;
      const turn = this.#turn;
      const cursor = this.timeline.cursor;
      /** @type {Result<JoinAnswer>} */
      const result = await this.#connection.ask("join", this.#named(this.timeline.joinRequest()));
      if (room !== this.#room || turn !== this.#turn) continue;
      if (result.ok) this.#apply(result.answer);
      else if (FOR_GOOD.has(result.refusal.code)) {
        refusal ??= result.refusal;
        this.#refused(result.refusal);
        if (room === this.#room) break;
        continue; // whoever was told went elsewhere
      }
      // An answer that brings nothing new while something is missing must not be asked for in a hurry.
      const stuck = this.timeline.incomplete && this.timeline.cursor === cursor;
      failures = result.ok && !stuck ? 0 : failures + 1;
      if (failures > 0) await this.#backOff(failures);
    }
    this.#joining = false;
    return refusal;
  }

  /** @param {JoinAnswer} answer */
  #apply(answer) {
    this.#you = answer.you;
    this.#token = answer.you.token ?? this.#token;
    const { reset } = this.timeline.joined(answer);
    this.#roster.joined(answer.here);
    this.#standing = "in";
    this.#setStatus("online");
    this.#world.listener.joined(answer, { reset });
    const early = [...this.#early.values()];
    this.#early.clear();
    if (this.#new) this.#world.listener.mine(new Set(early.map(({ room }) => room)));
    this.#new = false;
    for (const room of early) this.#told(room);
  }

  /**
   * This room is not for this person; the server can be reached, and all others go on.
   *
   * @param {Refusal} refusal
   */
  #refused(refusal) {
    const known = this.#standing === "refused";
    this.#standing = "refused";
    this.#setStatus("online");
    if (!known) this.#world.listener.refused(refusal);
  }

  /** @param {Room | Gone} room */
  #told(room) {
    if (!("gone" in room)) return this.#moved(room);
    this.#timelines.delete(room.room);
    return this.#world.listener.gone(room.room, room.message);
  }

  /** @param {Room} room */
  #moved(room) {
    this.#world.listener.room(room);
    if (room.room !== this.#room) return;
    this.timeline.reached(room.head);
    if (this.timeline.incomplete) this.#repair();
  }

  /**
   * A token says who one is, and a name beside it could only contradict it.
   *
   * @param {object} question
   */
  #named(question) {
    return this.#tokenUsed ? question : { name: this.#name, ...question };
  }

  #lost() {
    this.#standing = "out";
    this.#early.clear();
    this.#turn += 1;
    const turn = this.#turn;
    if (this.#status === "offline") return;
    this.#setStatus("connecting");
    // A loss that is mended within a moment is nobody's business.
    this.#world.later(() => {
      if (turn === this.#turn && this.#standing === "out") this.#setStatus("offline");
    }, OFFLINE_AFTER_MS);
  }

  /** @param {Status} status */
  #setStatus(status) {
    if (status === this.#status || this.#closed) return;
    this.#status = status;
    this.#world.listener.status();
  }

  /** @param {string} room */
  #timelineOf(room) {
    const timeline = this.#timelines.get(room) ?? new Timeline(room);
    this.#timelines.delete(room);
    this.#timelines.set(room, timeline);
    if (this.#timelines.size > TIMELINES_KEPT) this.#timelines.delete([...this.#timelines.keys()][0]);
    return timeline;
  }

  /** What a timeline heard before its first answer belongs to the connection that was lost. */
  #forgetUnopened() {
    for (const [room, timeline] of this.#timelines) {
      if (timeline.cursor === null) this.#timelines.delete(room);
    }
  }

  #forgetTypists() {
    const now = this.#world.now();
    for (const [name, until] of this.#typists) {
      if (until <= now) this.#typists.delete(name);
    }
    this.#world.listener.typing();
  }

  /**
   * @param {number} failures
   * @returns {Promise<void>}
   */
  #backOff(failures) {
    return new Promise((resolve) => {
      this.#wake = resolve;
      this.#world.later(resolve, backOff(failures, BACK_OFF_MS, this.#world.random()));
    });
  }
}

/**
 * The newest of two tidings of one room, with what only the earlier one told.
 *
 * @param {Room | Gone | undefined} before
 * @param {Room | Gone} news
 * @returns {Room | Gone}
 */
function since(before, news) {
  if (!before || "gone" in before || "gone" in news) return news;
  const { read, muted, may } = before;
  return { ...(read !== undefined && { read }), ...(muted !== undefined && { muted }), ...(may && { may }), ...news };
}
