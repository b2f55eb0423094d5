import assert from "node:assert/strict";
import { test } from "node:test";

import { Rooms, unreadIn } from "../../static/js/rooms.js";
import { Memory } from "./memory.js";

/** @param {Rooms} rooms */
const unread = (rooms) => Object.fromEntries(rooms.all.map((room) => [room.room, unreadIn(room)]));

test("the lobby is always there and comes first", () => {
  const rooms = new Rooms(new Memory(), "alice");
  rooms.heard({ room: "attic", name: "Attic", last: 0 });
  assert.deepEqual(rooms.all.map(({ name }) => name), ["lobby", "Attic"]);
});

test("the past of a new room is not news; what follows is, until it is read", () => {
  const rooms = new Rooms(new Memory(), "alice");
  rooms.heard({ room: "attic", name: "attic", last: 50 });
  assert.equal(unread(rooms).attic, 0);
  rooms.heard({ room: "attic", last: 53 });
  assert.equal(unread(rooms).attic, 3);
  assert.equal(rooms.read("attic", 53), true);
  assert.equal(rooms.read("attic", 53), false);
  assert.equal(unread(rooms).attic, 0);
});

test("a name that was learnt is not forgotten by news without one", () => {
  const rooms = new Rooms(new Memory(), "alice");
  rooms.heard({ room: "attic", name: "The attic", last: 1 });
  rooms.heard({ room: "attic", last: 2 });
  assert.equal(rooms.nameOf("attic"), "The attic");
});

test("tabs of one person read together, and persons do not", () => {
  const storage = new Memory();
  const [first, second, other] = ["alice", "alice", "bob"].map((person) => new Rooms(storage, person));
  first.heard({ room: "attic", last: 1 });
  second.heard({ room: "attic", last: 9 });
  first.read("attic", 9);
  second.heard({ room: "cellar", last: 1 });
  assert.deepEqual(unread(second), { lobby: 0, attic: 0, cellar: 0 });
  assert.deepEqual(unread(new Rooms(storage, "alice")), { lobby: 0, attic: 0, cellar: 0 });
  assert.deepEqual(unread(other), { lobby: 0 });
});

test("a room that starts over counts from there", () => {
  const rooms = new Rooms(new Memory(), "alice");
  rooms.heard({ room: "attic", last: 500 });
  rooms.startedOver({ room: "attic", name: "attic", kind: "public", topic: "", head: 4, last: 3 });
  assert.equal(unread(rooms).attic, 0);
  rooms.heard({ room: "attic", last: 5 });
  assert.equal(unread(rooms).attic, 1);
});

test("numbers of another epoch are dropped, and the rooms remain", () => {
  const storage = new Memory();
  const before = new Rooms(storage, "alice");
  before.numberedBy("first");
  before.heard({ room: "attic", name: "Attic", last: 61 });
  before.heard({ room: "attic", last: 65 });

  const rooms = new Rooms(storage, "alice");
  assert.deepEqual(unread(rooms), { lobby: 0, attic: 4 });
  assert.equal(rooms.numberedBy("second"), true);
  assert.equal(rooms.numberedBy("second"), false);
  assert.deepEqual(unread(rooms), { lobby: 0, attic: 0 });
  assert.equal(rooms.nameOf("attic"), "Attic");
  assert.equal(rooms.readUpTo("attic"), 0);
  rooms.heard({ room: "attic", last: 5 });
  rooms.heard({ room: "attic", last: 7 });
  assert.equal(unread(rooms).attic, 2);
  assert.equal(unread(new Rooms(storage, "alice")).attic, 2);
});

test("a tab that still lives in the old epoch brings no old number back, and learns the new ones", () => {
  const storage = new Memory();
  const [first, second] = [new Rooms(storage, "alice"), new Rooms(storage, "alice")];
  for (const rooms of [first, second]) {
    rooms.numberedBy("old");
    rooms.heard({ room: "attic", last: 61 });
  }
  first.numberedBy("new");
  first.heard({ room: "attic", last: 1 });
  second.read("attic", 61);
  second.heard({ room: "attic", last: 62 });
  first.heard({ room: "attic", last: 3 });
  assert.equal(unread(first).attic, 2);
  assert.equal(unread(new Rooms(storage, "alice")).attic, 2);
  second.numberedBy("new");
  assert.equal(unread(second).attic, 2);
});

test("an own message is no news, unless something before it is", () => {
  const rooms = new Rooms(new Memory(), "alice");
  rooms.heard({ room: "attic", last: 5 });
  rooms.heard({ room: "attic", last: 6, own: true });
  rooms.heard({ room: "attic", last: 6 });
  assert.equal(unread(rooms).attic, 0);
  rooms.heard({ room: "attic", last: 7 });
  rooms.heard({ room: "attic", last: 8, own: true });
  assert.equal(unread(rooms).attic, 2);
});

test("what was read on another device is read here, and reading never goes back", () => {
  const rooms = new Rooms(new Memory(), "alice");
  assert.equal(rooms.heard({ room: "attic", last: 9, read: 4 }), 4);
  assert.equal(unread(rooms).attic, 5);
  assert.equal(rooms.read("attic", 7), true);
  assert.equal(rooms.heard({ room: "attic", last: 9, read: 6 }), 7);
  assert.equal(rooms.heard({ room: "attic", last: 9, read: 9 }), 9);
  assert.equal(unread(rooms).attic, 0);
});

test("an edit alone makes nothing unread", () => {
  const rooms = new Rooms(new Memory(), "alice");
  rooms.heard({ room: "attic", last: 9, read: 9 });
  rooms.heard({ room: "attic", last: 9 });
  assert.equal(unread(rooms).attic, 0);
  rooms.heard({ room: "attic", last: 11 });
  rooms.read("attic", 14);
  rooms.heard({ room: "attic", last: 15 });
  assert.equal(unread(rooms).attic, 1);
});

const ENTRY = { room: "attic", name: "Attic", last: 5, read: 3 };
const UNUSABLE = [
  ...["null", "{}", "5", "[null]", "[]", '"rooms"', "{", '{"epoch":"e"}', '{"epoch":"e","rooms":null}'],
  ...[null, 5, [], { ...ENTRY, room: 5 }, { ...ENTRY, name: null }, { ...ENTRY, last: "5" }, { ...ENTRY, read: -1 }]
    .map((entry) => JSON.stringify({ epoch: "e", rooms: [ENTRY, entry] })),
  JSON.stringify({ epoch: 5, rooms: [ENTRY] }),
];

for (const stored of UNUSABLE) {
  test(`what is stored can be anything: ${stored}`, () => {
    const storage = new Memory();
    storage.setItem("chatzilla.rooms.alice", stored);
    const rooms = new Rooms(storage, "alice");
    assert.deepEqual(unread(rooms), { lobby: 0 });
    rooms.numberedBy("e");
    rooms.heard({ room: "cellar", last: 1 });
    assert.deepEqual(unread(new Rooms(storage, "alice")), { lobby: 0, cellar: 0 });
  });
}

test("what a room is, is learnt from the server and kept", () => {
  const storage = new Memory();
  const rooms = new Rooms(storage, "alice");
  rooms.me = "a";
  const people = [{ id: "b", name: "Bob" }, { id: "a", name: "Alice" }, { id: "c", name: "Carol" }];
  rooms.heard({ room: "d-1", name: "Alice, Bob, Carol", kind: "direct", topic: "", head: 0, last: 0, people });
  rooms.heard({ room: "p-1", name: "Plans", kind: "private", topic: "All", head: 0, last: 0, archived: true, muted: true });
  for (const each of [rooms, new Rooms(storage, "alice")]) {
    assert.equal(each.nameOf("d-1"), "Bob, Carol", "a direct room is named after the others");
    const { kind, topic, archived, muted } = each.get("p-1");
    assert.deepEqual([kind, topic, archived, muted], ["private", "All", true, true]);
  }
  rooms.heard({ room: "p-1", last: 3 });
  assert.equal(rooms.get("p-1").archived, true, "news of where it stands are about nothing else");
  rooms.heard({ room: "p-1", name: "Plans", kind: "private", topic: "", head: 3, last: 3 });
  assert.deepEqual([rooms.get("p-1").archived, rooms.get("p-1").muted], [false, true], "mute is told apart");
  rooms.heard({ room: "p-1", last: 3, muted: false });
  assert.equal(rooms.get("p-1").muted, false);
});

test("a room that is gone is forgotten, here and in what is kept", () => {
  const storage = new Memory();
  const [rooms, beside] = ["alice", "alice"].map((person) => new Rooms(storage, person));
  rooms.heard({ room: "p-1", name: "Plans", kind: "private", topic: "", head: 1, last: 1 });
  beside.heard({ room: "attic", last: 1 });
  rooms.forget("p-1");
  beside.forget("p-1");
  for (const each of [rooms, beside, new Rooms(storage, "alice")]) {
    assert.deepEqual(each.all.map(({ room }) => room), ["lobby", "attic"]);
  }
});

test("a private room that was taken while one was away is forgotten; public ones are kept", () => {
  const rooms = new Rooms(new Memory(), "alice");
  const news = { topic: "", head: 1, last: 1 };
  rooms.heard({ room: "p-1", name: "Plans", kind: "private", ...news });
  rooms.heard({ room: "p-2", name: "Party", kind: "private", ...news });
  rooms.heard({ room: "d-1", name: "Bob", kind: "direct", ...news });
  rooms.heard({ room: "attic", name: "Attic", kind: "public", ...news });
  rooms.keepOnly(new Set(["p-2"]));
  assert.deepEqual(rooms.all.map(({ room }) => room), ["lobby", "attic", "p-2"]);
});

test("rooms that an earlier version kept are read", () => {
  const storage = new Memory();
  const room = { room: "attic", name: "Attic", last: 4, read: 2 };
  storage.setItem("chatzilla.rooms.alice", JSON.stringify({ epoch: null, rooms: [room] }));
  const { kind, people, muted } = new Rooms(storage, "alice").get("attic");
  assert.deepEqual([kind, people, muted], ["public", [], false]);
});

test("whoever goes for good leaves no name of a room behind", () => {
  const storage = new Memory();
  const [alice, bob] = ["alice", "bob"].map((person) => new Rooms(storage, person));
  for (const rooms of [alice, bob]) rooms.heard({ room: "secret", name: "Secret", last: 1 });
  alice.forgetAll();
  assert.deepEqual(storage.keys(), ["chatzilla.rooms.bob"]);
});
