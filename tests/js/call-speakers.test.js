// Who is marked as speaking.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Speakers } from "../../static/js/call/speakers.js";

test("a word is marked at once, and the mark stays through the pause between two", () => {
  const speakers = new Speakers();
  assert.equal(speakers.heard([["anna", 0.2]], 0), true);
  assert.deepEqual([...speakers.speaking], ["anna"]);
  let now = 0;
  for (; now < 1_200; now += 250) assert.equal(speakers.heard([], now), false);
  assert.deepEqual([...speakers.speaking], ["anna"]);
  for (; now < 6_000; now += 250) speakers.heard([], now);
  assert.deepEqual([...speakers.speaking], []);
});

test("noise is nobody's speech", () => {
  const speakers = new Speakers();
  for (let now = 0; now < 5_000; now += 250) assert.equal(speakers.heard([["anna", 0.01]], now), false);
  assert.equal(speakers.speaking.size, 0);
});

test("whoever is gone does not speak", () => {
  const speakers = new Speakers();
  speakers.heard([["anna", 0.1], ["bob", 0.5]], 0);
  speakers.forget("bob");
  assert.deepEqual([...speakers.speaking], ["anna"]);
});

test("it is news when somebody begins or ends to speak, and only then", () => {
  const speakers = new Speakers();
  assert.equal(speakers.heard([["anna", 0.3]], 0), true);
  assert.equal(speakers.heard([["anna", 0.4]], 250), false);
  assert.equal(speakers.heard([["anna", 0.4], ["bob", 0.4]], 500), true);
});
