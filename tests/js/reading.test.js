import assert from "node:assert/strict";
import { test } from "node:test";

import { Marks } from "../../static/js/marks.js";
import { Reading } from "../../static/js/reading.js";
import { Rooms } from "../../static/js/rooms.js";
import { Clock } from "./clock.js";
import { Memory } from "./memory.js";

/** Somebody in the lobby, of which they have read ten messages. */
function reader() {
  const clock = new Clock();
  /** @type {[string, number][]} */
  const told = [];
  const tell = async (/** @type {string} */ room, /** @type {number} */ seq) => {
    told.push([room, seq]);
    return { ok: /** @type {const} */ (true), answer: {} };
  };
  const rooms = new Rooms(new Memory(), "alice");
  rooms.numberedBy("epoch");
  const reading = new Reading(rooms, new Marks({ tell, later: (run, ms) => clock.later(run, ms) }));
  reading.setReady(true);
  reading.heard({ room: "lobby", last: 10, read: 10 });
  reading.opens("lobby");
  return { clock, told, rooms, reading };
}

test("everything that comes is missed until the person is back", () => {
  const { reading } = reader();
  assert.deepEqual(reading.missed, { after: 10, upTo: Infinity });
  reading.isBack(14);
  assert.deepEqual(reading.missed, { after: 10, upTo: 14 });
  reading.isBack(20);
  assert.deepEqual(reading.missed, { after: 10, upTo: 14 }, "what comes before their eyes is not missed");
  reading.looksAway(20);
  assert.deepEqual(reading.missed, { after: 20, upTo: Infinity });
});

test("what was read on another device meanwhile was not missed", () => {
  const { reading } = reader();
  reading.heard({ room: "lobby", last: 15, read: 13 });
  reading.joined("lobby");
  assert.equal(reading.missed.after, 13);
  reading.isBack(15);
  reading.heard({ room: "lobby", last: 18, read: 18 });
  reading.joined("lobby");
  assert.deepEqual(reading.missed, { after: 13, upTo: 15 }, "and a line that is shown stays where it is");
});

test("the server is told what it does not know", async () => {
  const { clock, told, rooms, reading } = reader();
  assert.equal(reading.read("lobby", 12), true);
  assert.equal(reading.read("lobby", 12), false);
  assert.deepEqual(told, [["lobby", 12]]);
  await clock.advance(1_000);
  reading.heard({ room: "lobby", last: 12, read: 11 });
  reading.heard({ room: "lobby", last: 13, read: 13 });
  reading.heard({ room: "lobby", last: 14, own: true });
  await clock.advance(1_000);
  assert.deepEqual(told, [["lobby", 12], ["lobby", 14]], "an own message moves it, another device's mark does not");
  assert.equal(rooms.readUpTo("lobby"), 14);
});

test("another numbering makes marks and what was missed mean nothing", () => {
  const { reading } = reader();
  reading.looksAway(10);
  reading.numberedBy("lobby", "another");
  assert.deepEqual(reading.missed, { after: 0, upTo: Infinity });
  reading.startedOver({ room: "lobby", name: "lobby", kind: "public", topic: "", head: 3, last: 3 });
  assert.deepEqual(reading.missed, { after: 3, upTo: 3 }, "all that there is, is history");
});
