// One person on this page, from the card to the farewell: where they are and what they may there, what they write, and how
// far they have read. No DOM. It drives the session and the outbox, keeps the state that the chat shows, and says what of
// it has changed.

/** @import { Identity } from "./identity.js" */
/** @import { CallInRoom } from "./call/wire.js" */
/** @import { JoinAnswer, Message, Refusal, Result, Room } from "./protocol.js" */
/** @import { News } from "./session.js" */

import { goTo, roomInAddress } from "./address.js";
import { Connection } from "./connection.js";
import { Marks } from "./marks.js";
import { personOf } from "./outbox.js";
import { LOBBY } from "./protocol.js";
import { Reading } from "./reading.js";
import { Rooms } from "./rooms.js";
import { Session } from "./session.js";
import { ofThisBrowser } from "./storage.js";
import { Writing } from "./writing.js";

/** The server tells of no more rooms than that at once. */
const MY_ROOMS_TOLD = 200;
const HEADS = new Set(["owner", "admin"]);
/** Refusals that say of a room that it is not this person's. */
const NOT_MINE = new Set(["forbidden", "not-found"]);

const STARTED_OVER = "The conversation was loaded anew: its numbering changed, or you were away for very long.";
const COME_BACK = "Reload the page to come in again.";
const NOT_DURABLE = "This browser keeps nothing for later: what is not sent yet is lost when you close this tab.";

/** @typedef {{identity: Identity, name: string, token?: string}} Who  `name`: typed, or that of a sign-in. */

/**
 * The page, as its visit knows it: what it shows anew, and what it says.
 *
 * @typedef {object} Page
 * @property {() => boolean} isSeen     Whether the person looks at it.
 * @property {() => void} begin         The person is inside.
 * @property {() => void} letWrite      From now on what they write is taken.
 * @property {() => void} moved         Another room is open.
 * @property {() => void} opened        They went to a room on purpose, be it the one that is open.
 * @property {() => void} turnedOut     The open room is not theirs any more.
 * @property {() => void} showStatus
 * @property {() => void} showMe
 * @property {() => void} showRoom      All that is known of the open room.
 * @property {() => void} showRooms
 * @property {() => void} showPowers    What this person may that others may not.
 * @property {() => void} showRows
 * @property {() => void} showPeople
 * @property {() => void} showTyping
 * @property {(message: Message) => void} heard  Somebody else has just said something in the open room.
 * @property {(room: string, call: CallInRoom | null) => void} heardOfCall
 * @property {(words: string) => void} tell      Something to read until it is dismissed.
 * @property {(words: string) => void} say       Something for those who listen.
 * @property {(words: string) => void} ended     This person cannot be here.
 */

export class Visit {
  identity;
  /** What this person came as. */
  name;
  /** The account name, by which this browser files what it keeps of them. */
  person;
  /** All rooms that they know. */
  rooms;
  session;
  reading;
  writing;
  /** Whether the chat is shown. */
  inside = false;
  over = false;

  #page;
  /** @type {Connection | null} */
  #connection = null;
  /** @type {Map<string, readonly string[]>} What this person may in rooms, as far as it was told. */
  #rights = new Map();
  /** Why this person is not in the room that is open, where that is so and there is no other to go to. */
  #out = "";

  /**
   * @param {Who} who
   * @param {Page} page
   */
  constructor({ identity, name, token }, page) {
    this.#page = page;
    this.identity = identity;
    this.name = name;
    this.person = personOf(name);
    this.rooms = new Rooms(ofThisBrowser, this.person);
    this.session = new Session({ name, token, room: roomInAddress() }, {
      connect: (ear) => (this.#connection = new Connection(ear)),
      listener: {
        status: () => this.#statusChanged(),
        joined: (answer, { reset }) => this.#joined(answer, reset),
        rows: () => page.showRows(),
        heard: (message) => this.#heard(message),
        people: () => page.showPeople(),
        typing: () => page.showTyping(),
        room: (news) => this.#roomMoved(news),
        gone: (room, words) => this.#roomGone(room, words),
        mine: (rooms) => {
          if (rooms.size < MY_ROOMS_TOLD) this.rooms.keepOnly(rooms.add(this.room));
        },
        you: () => page.showPowers(),
        refused: (refusal) => this.#refused(refusal),
        ended: ({ message }) => page.ended(message),
      },
      later: (run, ms) => setTimeout(run, ms),
      now: Date.now,
      random: Math.random,
    });
    const tell = (/** @type {string} */ room, /** @type {number} */ seq) => this.session.tellRead(room, seq);
    this.reading = new Reading(this.rooms, new Marks({ tell, later: (run, ms) => setTimeout(run, ms) }));
    this.writing = new Writing(this.person, this.session, () => page.showRows());
  }

  get you() {
    return this.session.you;
  }

  /** The room that is open. */
  get room() {
    return this.session.room;
  }

  /** What other namespaces share the connection through. */
  get manager() {
    return this.#connection?.manager ?? null;
  }

  /** Whether this person keeps order on the whole server. */
  get isHead() {
    return HEADS.has(this.you?.role ?? this.identity.role);
  }

  /**
   * Whether this person may do something in the room that is open, as far as it was told.
   *
   * @param {string} act
   */
  may(act) {
    return this.#rights.get(this.room)?.includes(act) ?? false;
  }

  /** Why nothing can be said in the open room now, in words; empty where something can. */
  get closed() {
    return this.#out || whyClosed(this.rooms.get(this.room), this.#rights.get(this.room));
  }

  async begin() {
    const store = await this.writing.begin();
    if (!store) return;
    this.#page.letWrite();
    this.#statusChanged();
    this.session.open();
    await this.writing.open();
    if (!store.durable) this.#page.tell(NOT_DURABLE);
  }

  /** Show the chat before the server has answered: after a reload, what was written is there at once. */
  show() {
    if (this.inside) return;
    this.inside = true;
    this.reading.opens(this.room);
    this.#page.begin();
  }

  /**
   * Go to a room, and let the address say so.
   *
   * @param {string} room
   */
  open(room) {
    goTo(room);
    this.followAddress();
    this.#page.opened();
  }

  followAddress() {
    const room = roomInAddress();
    const left = this.room;
    if (room === left) return;
    const { cursor, rows } = this.session.timeline;
    if (cursor !== null) this.rooms.heard({ room: left, last: rows.at(-1)?.seq ?? 0 });
    this.session.enter(room);
    this.#out = "";
    this.reading.opens(room);
    this.#page.moved();
  }

  /**
   * Go to a room that the server has just told of.
   *
   * @param {Room} room
   */
  enter(room) {
    this.#roomMoved(room);
    this.open(room.room);
  }

  /**
   * Begin to talk with these people alone, or go on with it.
   *
   * @param {string[]} people
   */
  async writeTo(people) {
    /** @type {Result<{room: Room}>} */
    const result = await this.ask("direct", { people });
    if (result.ok) this.enter(result.answer.room);
    else this.#page.tell(result.refusal.message);
  }

  /**
   * Ask the server something about rooms and people.
   *
   * @param {string} event
   * @param {object} question
   * @returns {Promise<Result<any>>}
   */
  ask(event, question) {
    return this.session.ask(event, question);
  }

  /**
   * Take in what an answer says of a room.
   *
   * @param {News} news
   */
  learn(news) {
    this.rooms.heard(news);
    this.#page.showRoom();
  }

  /** The newest message is before the person's eyes. */
  read() {
    const { cursor } = this.session.timeline;
    if (!this.#page.isSeen() || cursor === null) return;
    if (this.reading.read(this.room, cursor)) this.#page.showRooms();
  }

  /** The person looks at another page, and had the newest message before their eyes. */
  lookAway() {
    this.reading.looksAway(this.session.timeline.cursor ?? 0);
  }

  /** What comes from now on comes before the person's eyes. */
  lookBack() {
    if (this.#page.isSeen() && !this.session.timeline.incomplete) this.reading.isBack(this.session.timeline.cursor ?? 0);
  }

  /** The page is put aside: another tab may send from now on. */
  pause() {
    this.writing.setReady(false);
  }

  /** The page came back from the browser's cache. */
  resume() {
    this.#statusChanged();
  }

  end() {
    this.over = true;
    this.writing.close();
    this.session.close();
  }

  /** End for good, and keep nothing. */
  async forget() {
    await this.writing.discardAll();
    this.end();
    this.rooms.forgetAll();
  }

  #statusChanged() {
    const ready = this.session.status === "online";
    this.writing.setReady(ready);
    this.reading.setReady(ready);
    this.#page.showStatus();
  }

  /**
   * @param {JoinAnswer} answer
   * @param {boolean} reset
   */
  #joined({ you, room, messages, epoch }, reset) {
    this.identity.keep(this.name, this.session.token);
    this.rooms.me = you.id;
    this.reading.numberedBy(room.room, epoch);
    if (reset) {
      this.reading.startedOver(room);
      this.#page.tell(STARTED_OVER);
    }
    this.#roomMoved(room);
    this.reading.joined(room.room);
    this.show();
    this.lookBack();
    this.#out = "";
    for (const message of messages) this.writing.isStored(message);
    this.#page.showMe();
    this.#page.showRoom();
    this.#statusChanged();
  }

  /** @param {News} news */
  #roomMoved(news) {
    // With its head it is what the server says of the room, and that includes whether there is a call.
    if (news.head !== undefined) this.#page.heardOfCall(news.room, news.call ?? null);
    if (news.may) this.#rights.set(news.room, news.may);
    this.reading.heard(news);
    if (news.room === this.room) this.#page.showRoom();
    else this.#page.showRooms();
  }

  /**
   * A room is not this person's any more.
   *
   * @param {string} room
   * @param {string} [why]
   */
  #roomGone(room, why) {
    const name = this.rooms.nameOf(room);
    // The server may say “this room”, and it is another one that is open when one reads it.
    const told = room === LOBBY || why?.includes(name) ? why : why && `${name}: ${why}`;
    const words = told || `You are not in “${name}” any more.`;
    if (room !== LOBBY) this.rooms.forget(room);
    this.#rights.delete(room);
    if (room === this.room) {
      this.#page.turnedOut();
      this.#out = room === LOBBY ? `${words} ${COME_BACK}` : "";
      this.open(LOBBY);
      this.#page.showRoom();
      this.#page.tell(words);
      this.#page.say(words);
    }
    this.#page.showRooms();
  }

  /** @param {Message} message */
  #heard(message) {
    this.writing.isStored(message);
    if (message.sender !== this.you?.id && message.changed <= message.seq) this.#page.heard(message);
  }

  /** @param {Refusal} refusal */
  #refused({ code, message }) {
    if (code === "forbidden") void this.identity.lookAgain();
    if (!this.inside) this.#page.ended(message);
    else if (this.room !== LOBBY && NOT_MINE.has(code)) this.#roomGone(this.room, message);
    else {
      // There is nowhere else to go; what others can be opened stays in the sidebar.
      this.#out = message;
      this.#page.showRoom();
      this.#page.say(message);
    }
  }
}

/**
 * Why nothing can be said in a room now, in words.
 *
 * @param {{archived: boolean, locked: boolean}} room
 * @param {readonly string[]} [may]
 */
function whyClosed({ archived, locked }, may) {
  if (archived) return "This room is archived. It can be read, and nothing is said here any more.";
  if (may && !may.includes("post")) return "You may read here, and not write.";
  if (locked && !may?.includes("lock")) return "This room is locked. Only its moderators speak here now.";
  return "";
}
