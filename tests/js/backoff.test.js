// How long one waits before trying again.

import assert from "node:assert/strict";
import { test } from "node:test";

import { backOff } from "../../static/js/backoff.js";

const BOUNDS = { first: 400, longest: 5_000 };

test("it waits longer each time, up to a bound, also after more failures than numbers can tell", () => {
  const waits = [1, 2, 3, 4, 5, 50, 5_000, Infinity].map((failures) => backOff(failures, BOUNDS, 0.5));
  assert.deepEqual(waits, [400, 800, 1_600, 3_200, 5_000, 5_000, 5_000, 5_000]);
});

test("chance spreads those who wait over half and one and a half of it", () => {
  assert.deepEqual([0, 1].map((chance) => backOff(1, BOUNDS, chance)), [200, 600]);
});
