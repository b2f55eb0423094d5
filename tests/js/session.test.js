// The session against a server of rooms in memory: joining, losing, catching up, moving on.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Session } from "../../static/js/session.js";
import { Clock, idle } from "./clock.js";
import { Room } from "./room.js";

/** @import { Ear } from "../../static/js/connection.js" */
/** @import { Refusal, Result } from "../../static/js/protocol.js" */

/** A connection and the server behind it. */
class Wire {
  connected = false;
  /** @type {Map<string, Room>} */
  rooms = new Map([["lobby", new Room()], ["garden", new Room()]]);
  /** @type {[string, any][]} */
  asked = [];
  /** @type {Refusal[]} What to refuse the next joins with. */
  refusals = [];
  /** @type {Refusal[]} What the next leaves come to; the first ones get lost. */
  lostLeaves = [];
  /** Whether answers wait for `release()`. */
  holding = false;
  /** @type {((value?: unknown) => void)[]} */
  #held = [];
  /** @type {Ear} */
  #ear;

  /** @param {Ear} ear */
  constructor(ear) {
    this.#ear = ear;
  }

  get ear() {
    return this.#ear;
  }

  get joins() {
    return this.asked.filter(([event]) => event === "join").map(([, question]) => question);
  }

  open() {}

  close() {
    this.lose();
  }

  connect() {
    this.#ear.token();
    this.connected = true;
    this.#ear.connected();
    return idle();
  }

  release() {
    this.holding = false;
    for (const go of this.#held) go();
    return idle();
  }

  lose() {
    this.connected = false;
    this.#ear.disconnected();
  }

  /**
   * @template Answer
   * @param {string} event
   * @param {any} question
   * @returns {Promise<Result<Answer>>}
   */
  async ask(event, question) {
    if (!this.connected) return { ok: false, refusal: { code: "offline", message: "" } };
    this.asked.push([event, question]);
    const refusals = { join: this.refusals, leave: this.lostLeaves }[event];
    const refusal = refusals?.shift();
    const answer = refusal ? null : this.#answer(event, question);
    if (this.holding) await new Promise((resolve) => this.#held.push(resolve));
    return refusal ? { ok: false, refusal } : { ok: true, answer };
  }

  /**
   * @param {string} event
   * @param {any} question
   * @returns {any}
   */
  #answer(event, question) {
    const room = this.rooms.get(question.room);
    if (event === "join") return room?.join(question);
    if (event === "history") return room?.history(question.before);
    return {};
  }
}

/** @param {{token?: string, refused?: () => void}} options  `refused`: what whoever is told does. */
function visit({ token, refused: onRefused = () => {} } = {}) {
  const clock = new Clock();
  /** @type {string[]} */
  const heard = [];
  /** @type {string[]} */
  const statuses = [];
  /** @type {string[]} */
  const refused = [];
  /** @type {boolean[]} */
  const resets = [];
  /** @type {{room: string, last: number, own?: boolean}[]} */
  const elsewhere = [];
  /** @type {string[]} */
  const gone = [];
  /** @type {string[][]} */
  const mine = [];
  /** @type {string[]} */
  const words = [];
  /** @type {(string | undefined)[]} */
  const roles = [];
  /** @type {Wire[]} */
  const wires = [];
  const session = new Session({ name: "alice", token, room: "lobby" }, {
    connect: (ear) => {
      wires.push(new Wire(ear));
      return wires[0];
    },
    listener: {
      status: () => statuses.push(session.status),
      joined: (_, { reset }) => resets.push(reset),
      rows: () => {},
      heard: ({ content }) => heard.push(content),
      people: () => {},
      typing: () => {},
      room: (news) => elsewhere.push(news),
      gone: (room, why) => {
        gone.push(room);
        if (why !== undefined) words.push(why);
      },
      mine: (rooms) => mine.push([...rooms]),
      you: () => roles.push(session.you?.role),
      refused: ({ code }) => {
        refused.push(code);
        onRefused();
      },
      ended: ({ code }) => refused.push(code),
    },
    later: (run, ms) => clock.later(run, ms),
    now: () => clock.now,
    random: () => 0.5,
  });
  session.open();
  const [wire] = wires;
  const lobby = /** @type {Room} */ (wire.rooms.get("lobby"));
  return { session, wire, lobby, clock, heard, statuses, refused, resets, elsewhere, gone, mine, words, roles };
}

/** @param {Session} session */
const texts = (session) => session.timeline.rows.map(({ content }) => content);

test("a connection joins by itself, by name", async () => {
  const { session, wire, lobby } = visit();
  lobby.post("hello");
  await wire.connect();
  assert.equal(session.status, "online");
  assert.deepEqual(wire.joins, [{ name: "alice", room: "lobby" }]);
  assert.deepEqual(texts(session), ["hello"]);
});

test("a token says who one is, so no name is sent beside it", async () => {
  const { wire } = visit({ token: "signed" });
  await wire.connect();
  assert.deepEqual(wire.joins, [{ room: "lobby" }]);
});

test("after a loss it comes back from its cursor, through all pages", async () => {
  const { session, wire, lobby } = visit();
  lobby.post("hello");
  await wire.connect();
  wire.lose();
  for (let i = 0; i < 250; i += 1) lobby.post(`missed ${i}`);
  await wire.connect();
  assert.deepEqual(wire.joins.slice(1).map(({ cursor }) => cursor), [1, 101, 201]);
  assert.equal(session.timeline.rows.length, 251);
  assert.equal(session.status, "online");
});

test("a short loss is nobody's business, a longer one is told", async () => {
  const { wire, clock, statuses } = visit();
  await wire.connect();
  wire.lose();
  await clock.advance(500);
  await wire.connect();
  await clock.advance(5_000);
  assert.deepEqual(statuses, ["online", "connecting", "online"]);
  wire.lose();
  await clock.advance(1_500);
  assert.equal(statuses.at(-1), "offline");
});

test("a hole gets a moment to close by itself, and is then repaired", async () => {
  const { session, wire, lobby, clock } = visit();
  await wire.connect();
  const [first, second] = [lobby.post("first"), lobby.post("second")];
  wire.ear.message(second);
  wire.ear.message(first);
  await clock.advance(1_000);
  assert.equal(wire.joins.length, 1);

  lobby.post("lost");
  wire.ear.message(lobby.post("after it"));
  await clock.advance(1_000);
  assert.equal(wire.joins.length, 2);
  assert.deepEqual(texts(session), ["first", "second", "lost", "after it"]);
});

test("an event that was the last one and got lost is repaired when the server says where the room stands", async () => {
  const { session, wire, lobby, clock } = visit();
  await wire.connect();
  wire.ear.message(lobby.post("heard"));
  wire.ear.room({ room: "lobby", name: "lobby", kind: "public", topic: "", head: 1, last: 1 });
  await clock.advance(1_000);
  assert.equal(wire.joins.length, 1);

  lobby.post("lost");
  wire.ear.room({ room: "lobby", name: "lobby", kind: "public", topic: "", head: 2, last: 2 });
  await clock.advance(1_000);
  assert.equal(wire.joins.length, 2);
  assert.deepEqual(texts(session), ["heard", "lost"]);
});

test("a hole that the server cannot fill is not asked for in a hurry", async () => {
  const { wire, lobby, clock } = visit();
  await wire.connect();
  wire.ear.message({ ...lobby.post("impossible"), changed: 99, seq: 99 });
  lobby.startOver();
  lobby.epoch = "epoch-1";
  await clock.advance(60_000);
  assert(wire.joins.length < 15, `${wire.joins.length} joins in a minute`);
});

test("a join that fails is tried again more and more rarely", async () => {
  const { session, wire, clock } = visit();
  wire.refusals = Array(4).fill({ code: "unavailable", message: "" });
  await wire.connect();
  assert.equal(wire.joins.length, 1);
  await clock.advance(500);
  assert.equal(wire.joins.length, 2);
  await clock.advance(60_000);
  assert.equal(wire.joins.length, 5);
  assert.equal(session.status, "online");
});

test("a join that is refused for good is told, and not repeated", async () => {
  const { wire, clock, refused } = visit();
  wire.refusals = [{ code: "forbidden", message: "Not you." }];
  await wire.connect();
  await clock.advance(60_000);
  assert.deepEqual(refused, ["forbidden"]);
  assert.equal(wire.joins.length, 1);
});

const BANNED = { code: "forbidden", message: "You are banned from this room." };

test("a room that lets nobody in does not make one offline, on the way there nor after a reload", async () => {
  const { session, wire, clock, statuses } = visit();
  wire.refusals = [BANNED];
  await wire.connect();
  await clock.advance(60_000);
  assert.deepEqual(statuses, ["online"]);
  session.enter("garden");
  await idle();
  wire.refusals = [BANNED];
  wire.lose();
  await wire.connect();
  await clock.advance(60_000);
  assert.equal(session.status, "online");
  assert.equal(wire.joins.length, 3);
});

test("a room that lets one in no more leaves the news of all others", async () => {
  const { session, wire, elsewhere } = visit();
  await wire.connect();
  wire.refusals = [BANNED];
  session.enter("garden");
  await idle();
  const lobby = { room: "lobby", name: "lobby", kind: /** @type {const} */ ("public"), topic: "", head: 7, last: 7 };
  wire.ear.room(lobby);
  assert.deepEqual(elsewhere, [lobby]);
});

test("whoever goes elsewhere because a room refused them arrives there", async () => {
  const { session, wire } = visit({ refused: () => session.enter("lobby") });
  await wire.connect();
  wire.refusals = [BANNED];
  session.enter("garden");
  await idle();
  assert.deepEqual(wire.joins.map(({ room }) => room), ["lobby", "garden", "lobby"]);
  assert.equal(session.room, "lobby");
  session.tellTyping();
  assert.equal(wire.asked.at(-1)?.[0], "typing", "they are in it");
});

test("a letter for the open room, which refuses, is refused by its words; the person is told of the room once", async () => {
  const { session, wire, refused } = visit();
  wire.refusals = [BANNED, BANNED];
  await wire.connect();
  assert.deepEqual(await session.enterToPost("lobby"), BANNED);
  assert.deepEqual(refused, ["forbidden"]);
  assert.equal(await session.enterToPost("lobby"), null, "the ban was lifted");
});

test("what is told of rooms before the first answer is kept once for each room", async () => {
  const { wire, elsewhere } = visit();
  wire.holding = true;
  await wire.connect();
  const garden = { room: "garden", name: "garden", kind: /** @type {const} */ ("public"), topic: "", last: 1 };
  wire.ear.room({ ...garden, head: 1, read: 1, muted: true });
  for (let head = 2; head <= 50; head += 1) wire.ear.room({ ...garden, head, last: head });
  await wire.release();
  assert.deepEqual(elsewhere, [{ ...garden, head: 50, last: 50, read: 1, muted: true }]);
});

test("another numbering is told as a new beginning", async () => {
  const { session, wire, lobby, resets } = visit();
  lobby.post("old");
  await wire.connect();
  wire.lose();
  lobby.startOver();
  lobby.post("new");
  await wire.connect();
  assert.deepEqual(resets, [false, true]);
  assert.deepEqual(texts(session), ["new"]);
});

test("moving to another room and back is a catch-up", async () => {
  const { session, wire, lobby } = visit();
  lobby.post("before");
  await wire.connect();
  session.enter("garden");
  await idle();
  lobby.post("meanwhile");
  session.enter("lobby");
  await idle();
  assert.deepEqual(wire.asked.map(([event, { room, cursor }]) => [event, room, cursor]), [
    ["join", "lobby", undefined],
    ["leave", "lobby", undefined],
    ["join", "garden", undefined],
    ["leave", "garden", undefined],
    ["join", "lobby", 1],
  ]);
  assert.deepEqual(texts(session), ["before", "meanwhile"]);
});

test("a room is left for good, even if the question is lost; unless one is back, or the connection is gone", async () => {
  const { session, wire, clock } = visit();
  const lost = { code: "timeout", message: "" };
  const leaves = () => wire.asked.filter(([event]) => event === "leave").map(([, { room }]) => room);
  await wire.connect();
  wire.lostLeaves = [lost, lost];
  session.enter("garden");
  await clock.advance(5_000);
  assert.deepEqual(leaves(), ["lobby", "lobby", "lobby"]);

  wire.lostLeaves = [lost];
  session.enter("lobby");
  await idle();
  session.enter("garden");
  await clock.advance(5_000);
  assert.deepEqual(leaves().slice(3), ["garden", "lobby"]);

  wire.lostLeaves = [lost];
  session.enter("lobby");
  await idle();
  wire.lose();
  await wire.connect();
  await clock.advance(5_000);
  assert.deepEqual(leaves().slice(5), ["garden"]);
});

test("an answer for a room that was left meanwhile goes nowhere", async () => {
  const { session, wire, lobby } = visit();
  lobby.post("lobby");
  wire.rooms.get("garden")?.post("garden");
  wire.holding = true;
  await wire.connect();
  session.enter("garden");
  await wire.release();
  assert.deepEqual(texts(session), ["garden"]);
  assert.equal(session.room, "garden");
});

test("what another room tells is not shown in this one", async () => {
  const { session, wire, heard } = visit();
  await wire.connect();
  const elsewhere = /** @type {Room} */ (wire.rooms.get("garden")).post("elsewhere");
  wire.ear.message({ ...elsewhere, room: "garden" });
  assert.deepEqual(texts(session), []);
  assert.deepEqual(heard, []);
});

test("a page of history for a window that was trimmed meanwhile is dropped", async () => {
  const { session, wire, lobby } = visit();
  for (let i = 0; i < 300; i += 1) lobby.post(`m${i}`);
  await wire.connect();
  wire.holding = true;
  const loading = session.loadOlder();
  session.timeline.trim(50);
  await wire.release();
  await loading;
  assert.equal(session.timeline.rows.length, 50);
  await session.loadOlder();
  assert.equal(session.timeline.rows.length, 150);
});

test("a roster that contradicts its count is asked for again, after a while", async () => {
  const { session, wire, clock } = visit();
  await wire.connect();
  wire.ear.presence({ room: "lobby", came: [], went: [], count: 3 });
  wire.ear.presence({ room: "lobby", came: [], went: [], count: 4 });
  await clock.advance(1_900);
  assert.equal(wire.joins.length, 1);
  await clock.advance(200);
  assert.equal(wire.joins.length, 2);
  assert.equal(session.roster.doubtful, false);
});

test("a letter for another room is posted by a visit there", async () => {
  const { session, wire } = visit();
  await wire.connect();
  assert.equal(await session.enterToPost("garden"), null);
  const letter = { client_id: "c-1", person: "alice", room: "garden", content: "hi", written_at: 0, refusal: null };
  await session.post(letter);
  assert.deepEqual(wire.asked.slice(1).map(([event, { room }]) => [event, room]), [
    ["join", "garden"],
    ["message", "garden"],
    ["leave", "garden"],
  ]);
});

test("a visit ends by itself when what was to be posted is settled by another way, or its answer got lost", async () => {
  const { session, wire, clock } = visit();
  await wire.connect();
  assert.equal(await session.enterToPost("garden"), null);
  await clock.advance(16_000);
  wire.refusals = [{ code: "timeout", message: "" }];
  assert.equal((await session.enterToPost("garden"))?.code, "timeout");
  await clock.advance(16_000);
  assert.deepEqual(wire.asked.slice(1).map(([event]) => event), ["join", "leave", "join", "leave"]);
});

test("what was visited on a connection that is lost is left like any other room afterwards", async () => {
  const { session, wire } = visit();
  await wire.connect();
  await session.enterToPost("garden");
  wire.lose();
  await wire.connect();
  session.enter("garden");
  await idle();
  session.enter("lobby");
  await idle();
  assert.deepEqual(wire.asked.filter(([event]) => event === "leave").map(([, { room }]) => room), ["lobby", "garden"]);
});

test("what one posts in another room is told as one's own", async () => {
  const { session, wire, elsewhere } = visit();
  await wire.connect();
  const letter = { client_id: "c-1", person: "alice", room: "garden", content: "hi", written_at: 0, refusal: null };
  session.settled(letter, { id: "garden:6", seq: 6, changed: 6, sent_at: 1, client_id: "c-1" });
  const garden = /** @type {Room} */ (wire.rooms.get("garden"));
  wire.ear.message({ ...garden.post("from another tab", "alice"), room: "garden" });
  wire.ear.message({ ...garden.post("from another person", "bob"), room: "garden" });
  assert.deepEqual(elsewhere, [
    { room: "garden", last: 6, own: true },
    { room: "garden", last: 1, own: true },
    { room: "garden", last: 2, own: false },
  ]);
});

test("a change is asked for as what it is, and its answer is the newest state of the row", async () => {
  const { session, wire, lobby } = visit();
  lobby.post("helo", "alice");
  await wire.connect();
  const letter = { client_id: "c-1", person: "alice", room: "lobby", content: "hello", written_at: 0, refusal: null };
  await session.post({ ...letter, target: "lobby:1", deletes: false });
  await session.post({ ...letter, content: "", target: "lobby:1", deletes: true });
  assert.deepEqual(wire.asked.slice(1), [
    ["edit", { id: "lobby:1", content: "hello" }],
    ["delete", { id: "lobby:1" }],
  ]);
  session.settled({ ...letter, target: "lobby:1" }, lobby.edit(1, "hello"));
  assert.deepEqual(texts(session), ["hello"]);
  assert.equal(session.timeline.cursor, 2);
});

test("an edit in another room is no news of it", async () => {
  const { wire, elsewhere } = visit();
  await wire.connect();
  const garden = /** @type {Room} */ (wire.rooms.get("garden"));
  garden.post("helo");
  wire.ear.message({ ...garden.edit(1, "hello"), room: "garden" });
  assert.deepEqual(elsewhere, []);
});

test("what is told of rooms before the first answer waits for it, because that names the numbering", async () => {
  const { session, wire, elsewhere, gone, mine } = visit();
  wire.holding = true;
  await wire.connect();
  /** @type {import("../../static/js/protocol.js").Room} */
  const garden = { room: "garden", name: "garden", kind: "public", topic: "", head: 9, last: 9, read: 4 };
  wire.ear.room(garden);
  wire.ear.room({ room: "attic", gone: true });
  assert.deepEqual([elsewhere, gone], [[], []]);
  await wire.release();
  assert.deepEqual([elsewhere, gone, mine], [[garden], ["attic"], [["garden", "attic"]]]);
  session.enter("garden");
  await wire.release();
  assert.equal(mine.length, 1, "later joins say nothing of the others");
});

test("what was loaded of a room is dropped when it is this person's no more", async () => {
  const { session, wire, gone } = visit();
  await wire.connect();
  session.enter("garden");
  await wire.release();
  const before = session.timeline;
  wire.ear.room({ room: "garden", gone: true });
  assert.deepEqual(gone, ["garden"]);
  assert.notEqual(session.timeline, before);
});

test("people who left while counts alone were told do not stay as ghosts", async () => {
  const { session, wire, clock } = visit();
  const [alice, bob, carol] = ["alice", "bob", "carol"].map((name) => ({ id: name, name }));
  await wire.connect();
  wire.ear.presence({ room: "lobby", came: [alice, bob], went: [], count: 2 });
  wire.ear.presence({ room: "lobby", came: [], went: [], count: 101 });
  wire.ear.presence({ room: "lobby", came: [alice, carol], went: [], count: 2 });
  await clock.advance(2_100);
  assert.equal(wire.joins.length, 2);
  assert.equal(session.roster.doubtful, false);
  assert.equal(session.roster.people.some(({ id }) => id === "bob"), false);
});

test("a new role is this person's at once, and the token stays", async () => {
  const { session, wire, roles } = visit({ token: "signed" });
  await wire.connect();
  wire.ear.you({ id: "a1", name: "alice", verified: true, role: "admin" });
  assert.deepEqual(roles, ["admin"]);
  assert.equal(session.token, "signed");
});

test("whoever was turned out of a room is told why", async () => {
  const { wire, words } = visit();
  await wire.connect();
  wire.ear.room({ room: "garden", gone: true, message: "You were asked to leave this room." });
  assert.deepEqual(words, ["You were asked to leave this room."]);
});

test("typing is told now and then, and fades", async () => {
  const { session, wire, clock } = visit();
  await wire.connect();
  for (let i = 0; i < 5; i += 1) session.tellTyping();
  await clock.advance(3_000);
  session.tellTyping();
  assert.equal(wire.asked.filter(([event]) => event === "typing").length, 2);

  wire.ear.typing({ room: "lobby", name: "bob" });
  assert.deepEqual(session.typists, ["bob"]);
  await clock.advance(6_000);
  assert.deepEqual(session.typists, []);
});
