// Where tiles stand: nothing overlaps, nothing sticks out, and nothing is needlessly small.

import assert from "node:assert/strict";
import { test } from "node:test";

import { arrange } from "../../static/js/call/layout.js";

/** @import { Box } from "../../static/js/call/layout.js" */

const SHAPES = {
  desk: { width: 912, height: 640 },
  wide: { width: 1552, height: 860 },
  phone: { width: 374, height: 640 },
  strip: { width: 374, height: 210 },
  lying: { width: 800, height: 300 },
};

/**
 * @param {Box[]} boxes
 * @param {{width: number, height: number}} shape
 * @param {string} what
 */
function assertTidy(boxes, shape, what) {
  for (const [at, box] of boxes.entries()) {
    assert(box.width > 0 && box.height > 0, `${what}: tile ${at} is empty`);
    assert(box.x >= 0 && box.y >= 0, `${what}: tile ${at} begins outside`);
    assert(box.x + box.width <= shape.width + 1, `${what}: tile ${at} sticks out to the right`);
    assert(box.y + box.height <= shape.height + 1, `${what}: tile ${at} sticks out below`);
    for (const other of boxes.slice(at + 1)) {
      const apart =
        box.x + box.width <= other.x || other.x + other.width <= box.x ||
        box.y + box.height <= other.y || other.y + other.height <= box.y;
      assert(apart, `${what}: two tiles overlap`);
    }
  }
}

test("one to twelve tiles fit into every shape, with and without a large one", () => {
  for (const [name, shape] of Object.entries(SHAPES)) {
    for (let count = 1; count <= 12; count += 1) {
      for (const focus of [-1, 0, count - 1]) {
        const boxes = arrange(count, shape, { gap: 8, focus });
        assert.equal(boxes.length, count);
        assertTidy(boxes, shape, `${name}, ${count} tiles, ${focus} large`);
      }
    }
  }
});

test("tiles are as large as they can be, and alike", () => {
  const boxes = arrange(4, { width: 1_000, height: 600 }, { gap: 10 });
  assert.equal(new Set(boxes.map(({ width, height }) => `${width}x${height}`)).size, 1);
  assert.equal(new Set(boxes.map(({ y }) => y)).size, 2, "four are two rows of two");
  const used = boxes.reduce((sum, { width, height }) => sum + width * height, 0);
  assert(used > 0.8 * 1_000 * 600, "most of the stage is pictures");
});

test("on a tall phone two stand one above the other, on a desk side by side", () => {
  const [a, b] = arrange(2, SHAPES.phone, { gap: 8 });
  assert.equal(a.x, b.x);
  const [c, d] = arrange(2, SHAPES.desk, { gap: 8 });
  assert.equal(c.y, d.y);
});

test("the last row is in the middle", () => {
  const boxes = arrange(5, SHAPES.wide, { gap: 8 });
  const last = boxes.filter(({ y }) => y === boxes[4].y);
  assert.equal(last.length, 2);
  const left = last[0].x;
  const right = SHAPES.wide.width - (last[1].x + last[1].width);
  assert(Math.abs(left - right) <= 2);
});

test("the large tile is larger than all the others together", () => {
  for (const [name, shape] of Object.entries(SHAPES)) {
    const boxes = arrange(6, shape, { gap: 8, focus: 2 });
    const areas = boxes.map(({ width, height }) => width * height);
    const others = areas.reduce((sum, area) => sum + area, 0) - areas[2];
    assert(areas[2] > others, name);
  }
});

test("what is beside the large tile is at its side on a desk, and below it on a phone", () => {
  const desk = arrange(3, SHAPES.desk, { gap: 8, focus: 0 });
  assert(desk[1].x >= desk[0].width);
  const phone = arrange(3, SHAPES.phone, { gap: 8, focus: 0 });
  assert(phone[1].y >= phone[0].height);
});

test("a single large tile fills everything, and without tiles there is nothing", () => {
  assert.deepEqual(arrange(1, SHAPES.desk, { gap: 8, focus: 0 }), [{ x: 0, y: 0, ...SHAPES.desk }]);
  assert.deepEqual(arrange(0, SHAPES.desk, { gap: 8 }), []);
});
