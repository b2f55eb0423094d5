// The rules of protocol section 1.3.4, one by one, and then all of them in random mixtures.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Timeline } from "../../static/js/timeline.js";
import { Room, seeded } from "./room.js";

/** @import { JoinAnswer, Message } from "../../static/js/protocol.js" */

const YOU = { id: "alice", name: "alice@example.com" };

/** @param {Timeline} timeline */
const texts = (timeline) => timeline.rows.map((row) => row.content);

/**
 * A room in which `count` messages were posted, and a timeline that has joined it.
 *
 * @param {number} count
 */
function joinedTo(count) {
  const room = new Room();
  for (let i = 1; i <= count; i += 1) room.post(`m${i}`);
  const timeline = new Timeline("lobby");
  timeline.joined(room.join(timeline.joinRequest()));
  return { room, timeline };
}

test("before the first join everything is missing", () => {
  const timeline = new Timeline("lobby");
  assert.equal(timeline.cursor, null);
  assert.equal(timeline.epoch, null);
  assert.equal(timeline.incomplete, true);
  assert.deepEqual(timeline.joinRequest(), { room: "lobby" });
});

test("the first join opens the window on the newest page", () => {
  const { room, timeline } = joinedTo(150);
  assert.equal(timeline.rows.length, 100);
  assert.equal(timeline.rows.at(-1)?.content, "m150");
  assert.equal(timeline.hasOlder, true);
  assert.equal(timeline.incomplete, false);
  assert.deepEqual(timeline.joinRequest(), { room: "lobby", cursor: 150, epoch: room.epoch });
});

test("the next number is applied, a known one dropped", () => {
  const { room, timeline } = joinedTo(2);
  const message = room.post("m3");
  assert.equal(timeline.heard(message), "applied");
  assert.equal(timeline.heard(message), "known");
  assert.deepEqual(texts(timeline), ["m1", "m2", "m3"]);
  assert.equal(timeline.cursor, 3);
});

test("a number further ahead is held, and shows that something was missed", () => {
  const { room, timeline } = joinedTo(2);
  const [third, fourth] = [room.post("m3"), room.post("m4")];
  assert.equal(timeline.heard(fourth), "held");
  assert.equal(timeline.incomplete, true);
  assert.deepEqual(texts(timeline), ["m1", "m2"]);

  assert.equal(timeline.heard(third), "applied");
  assert.equal(timeline.incomplete, false);
  assert.deepEqual(texts(timeline), ["m1", "m2", "m3", "m4"]);
  assert.equal(timeline.cursor, 4);
});

test("a join fills the hole and releases what was held", () => {
  const { room, timeline } = joinedTo(2);
  room.post("m3");
  const answer = room.join(timeline.joinRequest());
  room.post("m4");
  timeline.heard(room.post("m5"));
  timeline.heard(room.messages[3]);
  timeline.joined(answer);
  assert.deepEqual(texts(timeline), ["m1", "m2", "m3", "m4", "m5"]);
  assert.equal(timeline.incomplete, false);
});

test("what is heard between subscribing and the first answer is kept", () => {
  const room = new Room();
  room.post("m1");
  const timeline = new Timeline("lobby");
  const answer = room.join(timeline.joinRequest());
  assert.equal(timeline.heard(room.post("m2")), "held");
  timeline.joined(answer);
  assert.deepEqual(texts(timeline), ["m1", "m2"]);
  assert.equal(timeline.incomplete, false);
});

test("pages of a catch-up move the cursor as far as they say", () => {
  const { room, timeline } = joinedTo(1);
  for (let i = 2; i <= 251; i += 1) room.post(`m${i}`);
  timeline.joined(room.join(timeline.joinRequest()));
  assert.equal(timeline.cursor, 101);
  assert.equal(timeline.incomplete, true);
  timeline.joined(room.join(timeline.joinRequest()));
  timeline.joined(room.join(timeline.joinRequest()));
  assert.equal(timeline.cursor, 251);
  assert.equal(timeline.incomplete, false);
  assert.equal(timeline.rows.length, 251);
});

test("an answer that comes late does not move the cursor back", () => {
  const { room, timeline } = joinedTo(1);
  const late = room.join(timeline.joinRequest());
  timeline.heard(room.post("m2"));
  timeline.joined(late);
  assert.equal(timeline.cursor, 2);
  assert.equal(timeline.incomplete, false);
  assert.deepEqual(texts(timeline), ["m1", "m2"]);
});

test("an edit replaces its row in place, and only by a newer state", () => {
  const { room, timeline } = joinedTo(3);
  const first = room.edit(2, "once");
  const second = room.edit(2, "twice");
  timeline.joined(room.join(timeline.joinRequest()));
  assert.deepEqual(texts(timeline), ["m1", "twice", "m3"]);
  timeline.heard(first);
  timeline.heard(second);
  assert.deepEqual(texts(timeline), ["m1", "twice", "m3"]);
  assert.equal(timeline.cursor, 5);
});

test("news of a row above the window moves the cursor and is not shown", () => {
  const { room, timeline } = joinedTo(150);
  assert.equal(timeline.heard(room.edit(1, "edited")), "applied");
  assert.equal(timeline.cursor, 151);
  assert.equal(timeline.rows.length, 100);
  assert.equal(timeline.rows[0].content, "m51");
});

test("a page of history read before such news does not bring the old text back", () => {
  const { room, timeline } = joinedTo(150);
  const page = room.history(51);
  timeline.heard(room.edit(50, "edited"));
  timeline.older(page);
  assert.equal(timeline.rows.find((row) => row.seq === 50)?.content, "edited");
});

test("history goes in front, and an old page again changes nothing", () => {
  const { room, timeline } = joinedTo(250);
  const first = room.history(151);
  timeline.older(first);
  assert.equal(timeline.rows.length, 200);
  timeline.older(room.history(51));
  assert.equal(timeline.hasOlder, false);
  timeline.older(first);
  assert.equal(timeline.hasOlder, false);
  assert.equal(timeline.rows.length, 250);
});

test("trimmed rows become history again", () => {
  const { room, timeline } = joinedTo(90);
  timeline.trim(50);
  assert.equal(timeline.rows[0].content, "m41");
  assert.equal(timeline.hasOlder, true);
  timeline.heard(room.edit(1, "edited"));
  timeline.older(room.history(41));
  assert.equal(timeline.rows[0].content, "edited");
  assert.equal(timeline.hasOlder, false);
});

test("an own message counts as heard", () => {
  const { room, timeline } = joinedTo(1);
  const message = room.post("mine", "alice", "c-1");
  const draft = { client_id: "c-1", content: "mine" };
  assert.equal(timeline.acked(message, draft, YOU), "applied");
  assert.equal(timeline.cursor, 2);
  assert.deepEqual(timeline.rows.at(-1), message);
  assert.equal(timeline.acked(message, draft, YOU), "known");
});

test("an own message that overtakes others is seen at once, and finds its place", () => {
  const { room, timeline } = joinedTo(1);
  const theirs = room.post("theirs", "bob");
  const mine = room.post("mine", "alice", "c-1");
  assert.equal(timeline.acked(mine, { client_id: "c-1", content: "mine" }, YOU), "held");
  assert.deepEqual(texts(timeline), ["m1", "mine"]);
  assert.equal(timeline.cursor, 1);
  assert.equal(timeline.incomplete, true);

  timeline.heard(theirs);
  assert.deepEqual(texts(timeline), ["m1", "theirs", "mine"]);
  assert.equal(timeline.cursor, 3);
  assert.equal(timeline.incomplete, false);
});

test("an own message acknowledged before the first join survives an older answer", () => {
  const room = new Room();
  const timeline = new Timeline("lobby");
  const answer = room.join(timeline.joinRequest());
  timeline.acked(room.post("mine", "alice", "c-1"), { client_id: "c-1", content: "mine" }, YOU);
  timeline.joined(answer);
  assert.deepEqual(texts(timeline), ["mine"]);
  assert.equal(timeline.cursor, 1);
  assert.equal(timeline.incomplete, false);
});

test("held events are bounded, and the hole is still known", () => {
  const { room, timeline } = joinedTo(1);
  room.post("missed");
  for (let i = 0; i < 1_500; i += 1) timeline.heard(room.post(`n${i}`));
  assert.equal(timeline.incomplete, true);
  settle(timeline, room);
  assert.equal(timeline.cursor, room.head);
  assert.equal(timeline.rows.at(-1)?.content, "n1499");
});

test("another epoch drops the rows and says so", () => {
  const { room, timeline } = joinedTo(3);
  room.startOver();
  room.post("n1");
  assert.deepEqual(timeline.joined(room.join(timeline.joinRequest())), { reset: true });
  assert.deepEqual(texts(timeline), ["n1"]);
  assert.equal(timeline.epoch, room.epoch);
  settle(timeline, room);
  assert.equal(timeline.cursor, 1);
});

test("an event of the new epoch that comes before its answer is not lost", () => {
  const { room, timeline } = joinedTo(3);
  room.startOver();
  room.post("n1");
  const answer = room.join(timeline.joinRequest());
  assert.equal(timeline.heard(room.post("n2")), "known");
  timeline.joined(answer);
  assert.equal(timeline.incomplete, true);
  settle(timeline, room);
  assert.deepEqual(texts(timeline), ["n1", "n2"]);
});

test("too far behind means starting over, once", () => {
  const { room, timeline } = joinedTo(1);
  for (let i = 0; i < 1_200; i += 1) room.post(`n${i}`);
  const answer = room.join(timeline.joinRequest());
  assert.deepEqual(timeline.joined(answer), { reset: true });
  assert.equal(timeline.incomplete, false);
  assert.deepEqual(timeline.joined(answer), { reset: false });
  assert.equal(timeline.rows.length, 100);
});

test("anything applied twice changes nothing", () => {
  const { room, timeline } = joinedTo(120);
  const first = room.join({ room: "lobby" });
  timeline.heard(room.post("next"));
  const second = room.join({ room: "lobby", cursor: 118, epoch: room.epoch });
  const before = JSON.stringify([timeline.rows, timeline.cursor, timeline.hasOlder, timeline.incomplete]);
  timeline.joined(first);
  timeline.joined(second);
  timeline.joined(second);
  assert.equal(JSON.stringify([timeline.rows, timeline.cursor, timeline.hasOlder, timeline.incomplete]), before);
});

test("after any mixture of posts, edits, losses, repeats and resets the window equals the room", () => {
  for (let seed = 1; seed <= 500; seed += 1) {
    const random = seeded(seed);
    const room = new Room();
    let timeline = new Timeline("lobby");
    /** @type {Message[]} */
    const wire = [];
    /** @type {JoinAnswer | null} A client waits for one answer before it asks again; the answer may get lost. */
    let answer = null;

    for (let step = 0; step < 120; step += 1) {
      const dice = random();
      if (dice < 0.3) wire.push(room.post(`s${seed}.${step}`, "bob"));
      else if (dice < 0.38) {
        const mine = room.post(`s${seed}.${step}`, "alice", `c-${seed}-${step}`);
        timeline.acked(mine, mine, YOU);
      } else if (dice < 0.5 && room.messages.length > 0) {
        wire.push(room.edit(1 + Math.floor(random() * room.messages.length), `e${step}`));
      } else if (dice < 0.72 && wire.length > 0) timeline.heard(take(wire, random));
      else if (dice < 0.76 && wire.length > 0) take(wire, random);
      else if (dice < 0.84) answer ??= room.join(timeline.joinRequest());
      else if (dice < 0.93 && answer) {
        if (random() < 0.8) timeline.joined(answer);
        if (random() < 0.2) timeline.joined(answer);
        answer = null;
      }
      else if (dice < 0.95 && timeline.hasOlder && !timeline.incomplete) {
        timeline.older(room.history(timeline.rows[0].seq));
      }
      else if (dice < 0.96) timeline.trim(10);
      else if (dice < 0.963) {
        // A new numbering comes with a new connection: nothing of the old one is still under way.
        room.startOver();
        wire.length = 0;
        answer = null;
        if (timeline.cursor === null) timeline = new Timeline("lobby");
      }
    }

    wire.push(room.post("the last word", "bob"));
    for (const message of wire) timeline.heard(message);
    timeline.joined(room.join(timeline.joinRequest()));
    settle(timeline, room);
    while (timeline.hasOlder) timeline.older(room.history(timeline.rows[0].seq));
    assert.deepEqual(timeline.rows, room.messages, `seed ${seed}`);
    assert.equal(timeline.cursor, room.head, `seed ${seed}`);
  }
});

/**
 * Ask as long as the timeline says that it has to.
 *
 * @param {Timeline} timeline
 * @param {Room} room
 */
function settle(timeline, room) {
  for (let round = 0; timeline.incomplete; round += 1) {
    assert(round < 50, "it asks for ever");
    timeline.joined(room.join(timeline.joinRequest()));
  }
}

/**
 * @template Item
 * @param {Item[]} items
 * @param {() => number} random
 */
function take(items, random) {
  return items.splice(Math.floor(random() * items.length), 1)[0];
}
