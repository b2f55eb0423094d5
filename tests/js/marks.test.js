import assert from "node:assert/strict";
import { test } from "node:test";

import { Marks } from "../../static/js/marks.js";
import { Clock, idle } from "./clock.js";

/** @import { Result } from "../../static/js/protocol.js" */

function desk() {
  const clock = new Clock();
  /** @type {[string, number][]} */
  const told = [];
  /** @type {string[]} */
  const refusals = [];
  const marks = new Marks({
    tell: async (room, seq) => {
      const code = refusals.shift();
      told.push([room, seq]);
      return /** @type {Result<object>} */ (
        code ? { ok: false, refusal: { code, message: "" } } : { ok: true, answer: {} }
      );
    },
    later: (run, ms) => clock.later(run, ms),
  });
  marks.setReady(true);
  return { clock, told, refusals, marks };
}

test("a mark is told at once, and what follows quickly as one", async () => {
  const { clock, told, marks } = desk();
  for (let seq = 1; seq <= 9; seq += 1) marks.read("lobby", seq);
  marks.read("garden", 3);
  assert.deepEqual(told, [["lobby", 1]]);
  await clock.advance(1_000);
  assert.deepEqual(told, [["lobby", 1], ["lobby", 9], ["garden", 3]]);
});

test("in a torrent it is told ever more rarely, and soon again when that is over", async () => {
  const { clock, told, marks } = desk();
  for (let seq = 1; seq <= 300; seq += 1) {
    marks.read("lobby", seq);
    await clock.advance(100);
  }
  assert(told.length < 15, `${told.length} in half a minute`);
  await clock.advance(5_000);
  assert.deepEqual(told.at(-1), ["lobby", 300]);
  for (const seq of [301, 302, 303]) {
    marks.read("lobby", seq);
    await clock.advance(1_000);
    assert.deepEqual(told.at(-1), ["lobby", seq]);
  }
});

test("what was told is not told again, until there is another connection", async () => {
  const { clock, told, marks } = desk();
  marks.read("lobby", 5);
  await clock.advance(1_000);
  marks.read("lobby", 5);
  marks.read("lobby", 4);
  await clock.advance(1_000);
  assert.deepEqual(told, [["lobby", 5]]);
  marks.setReady(false);
  marks.read("lobby", 5);
  assert.equal(told.length, 1);
  marks.setReady(true);
  assert.deepEqual(told, [["lobby", 5], ["lobby", 5]]);
});

test("a mark that did not get through is told again later, unless there is a newer one", async () => {
  const { clock, told, refusals, marks } = desk();
  refusals.push("too-fast", "timeout");
  marks.read("lobby", 5);
  await clock.advance(2_000);
  assert.deepEqual(told, [["lobby", 5], ["lobby", 5], ["lobby", 5]]);
  refusals.push("unavailable");
  marks.read("lobby", 6);
  marks.read("lobby", 7);
  await clock.advance(2_000);
  assert.deepEqual(told.slice(3), [["lobby", 6], ["lobby", 7]]);
});

test("a refusal for good is believed, and numbers of another beginning are dropped", async () => {
  const { clock, told, refusals, marks } = desk();
  refusals.push("not-joined");
  marks.read("lobby", 5);
  marks.read("garden", 5);
  marks.forget();
  await clock.advance(5_000);
  assert.deepEqual(told, [["lobby", 5]]);
  marks.read("lobby", 1);
  await idle();
  assert.deepEqual(told.at(-1), ["lobby", 1]);
});
