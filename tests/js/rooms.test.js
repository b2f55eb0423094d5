import assert from "node:assert/strict";
import { test } from "node:test";

import { Rooms, unreadIn } from "../../static/js/rooms.js";

class Memory {
  /** @type {Map<string, string>} */
  #items = new Map();

  /** @param {string} key */
  getItem(key) {
    return this.#items.get(key) ?? null;
  }

  /**
   * @param {string} key
   * @param {string} value
   */
  setItem(key, value) {
    this.#items.set(key, value);
  }

  /** @param {string} key */
  removeItem(key) {
    this.#items.delete(key);
  }
}

/** @param {Rooms} rooms */
const unread = (rooms) => Object.fromEntries(rooms.all.map((room) => [room.room, unreadIn(room)]));

test("the lobby is always there and comes first", () => {
  const rooms = new Rooms(new Memory(), "alice");
  rooms.heard({ room: "attic", name: "Attic", head: 0 });
  assert.deepEqual(rooms.all.map(({ name }) => name), ["lobby", "Attic"]);
});

test("the past of a new room is not news; what follows is, until it is read", () => {
  const rooms = new Rooms(new Memory(), "alice");
  rooms.heard({ room: "attic", name: "attic", head: 50 });
  assert.equal(unread(rooms).attic, 0);
  rooms.heard({ room: "attic", head: 53 });
  assert.equal(unread(rooms).attic, 3);
  assert.equal(rooms.read("attic", 53), true);
  assert.equal(rooms.read("attic", 53), false);
  assert.equal(unread(rooms).attic, 0);
});

test("a name that was learnt is not forgotten by news without one", () => {
  const rooms = new Rooms(new Memory(), "alice");
  rooms.heard({ room: "attic", name: "The attic", head: 1 });
  rooms.heard({ room: "attic", head: 2 });
  assert.equal(rooms.nameOf("attic"), "The attic");
});

test("tabs of one person read together, and persons do not", () => {
  const storage = new Memory();
  const [first, second, other] = ["alice", "alice", "bob"].map((person) => new Rooms(storage, person));
  first.heard({ room: "attic", head: 1 });
  second.heard({ room: "attic", head: 9 });
  first.read("attic", 9);
  second.heard({ room: "cellar", head: 1 });
  assert.deepEqual(unread(second), { lobby: 0, attic: 0, cellar: 0 });
  assert.deepEqual(unread(new Rooms(storage, "alice")), { lobby: 0, attic: 0, cellar: 0 });
  assert.deepEqual(unread(other), { lobby: 0 });
});

test("a room that starts over counts from there", () => {
  const rooms = new Rooms(new Memory(), "alice");
  rooms.heard({ room: "attic", head: 500 });
  rooms.startedOver({ room: "attic", name: "attic", head: 3 });
  rooms.heard({ room: "attic", head: 4 });
  assert.equal(unread(rooms).attic, 1);
});
