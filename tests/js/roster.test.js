import assert from "node:assert/strict";
import { test } from "node:test";

import { Roster } from "../../static/js/roster.js";

const alice = { id: "a", name: "alice" };
const bob = { id: "b", name: "Bob" };
const carol = { id: "c", name: "carol" };

test("who is here is listed once, by name", () => {
  const roster = new Roster();
  roster.joined({ count: 3, people: [carol, alice, bob] });
  roster.changed({ came: [bob], went: [], count: 3 });
  assert.deepEqual(roster.people, [alice, bob, carol]);
  assert.equal(roster.doubtful, false);
});

test("those who went leave, and the same change again changes nothing", () => {
  const roster = new Roster();
  roster.joined({ count: 2, people: [alice, bob] });
  for (let times = 0; times < 2; times += 1) roster.changed({ came: [carol], went: [alice], count: 2 });
  assert.deepEqual(roster.people, [bob, carol]);
  assert.equal(roster.doubtful, false);
});

test("a change that was missed shows as a doubt, and a fresh list settles it", () => {
  const roster = new Roster();
  roster.joined({ count: 1, people: [alice] });
  roster.changed({ came: [], went: [], count: 2 });
  assert.equal(roster.doubtful, true);
  roster.joined({ count: 2, people: [alice, bob] });
  assert.equal(roster.doubtful, false);
});

test("in a crowd the count alone is certain", () => {
  const roster = new Roster();
  roster.joined({ count: 101, people: [] });
  roster.changed({ came: [], went: [], count: 5_000 });
  assert.equal(roster.count, 5_000);
  assert.equal(roster.doubtful, false);
});

test("those who left unnamed while there was a crowd are in doubt when all are named again", () => {
  const roster = new Roster();
  roster.joined({ count: 2, people: [alice, bob] });
  roster.changed({ came: [], went: [], count: 101 });
  roster.changed({ came: [alice, carol], went: [], count: 2 });
  assert.equal(roster.doubtful, true);
  roster.joined({ count: 2, people: [alice, carol] });
  assert.deepEqual(roster.people, [alice, carol]);
  roster.changed({ came: [], went: [], count: 101 });
  roster.changed({ came: [alice, bob, carol], went: [], count: 3 });
  assert.equal(roster.doubtful, false);
});

test("a crowd that shrinks has to be named anew", () => {
  const roster = new Roster();
  roster.joined({ count: 101, people: [] });
  roster.changed({ came: [], went: [], count: 100 });
  assert.equal(roster.doubtful, true);
});
