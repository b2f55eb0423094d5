// Drafts of two tabs in one browser.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Drafts } from "../../static/js/drafts.js";
import { Memory } from "./memory.js";

const KEY = "draft";

/** Tabs of one browser; each has a storage of its own beside the common one. */
function tabs() {
  const browser = new Memory();
  return { browser, open: (own = new Memory()) => new Drafts(own, browser) };
}

test("what one tab sends leaves the draft of another, also through a reload", () => {
  const { open } = tabs();
  const own = new Memory();
  const [left, right] = [open(own), open()];
  left.set(KEY, "a long draft");
  right.set(KEY, "quick");
  right.set(KEY, "");
  assert.equal(left.get(KEY), "a long draft");
  assert.equal(open(own).get(KEY), "a long draft");
  assert.equal(open().get(KEY), "a long draft", "and a new tab finds it");
});

test("a draft that was left is found by the next tab, and gone once that has sent it", () => {
  const { browser, open } = tabs();
  open().set(KEY, "left behind");
  const next = open();
  assert.equal(next.get(KEY), "left behind");
  next.set(KEY, "");
  assert.equal(open().get(KEY), "");
  assert.deepEqual(browser.keys(), []);
});

test("a tab that has sent what it had is not shown what another one writes now", () => {
  const { open } = tabs();
  const [left, right] = [open(), open()];
  left.set(KEY, "mine");
  left.set(KEY, "");
  right.set(KEY, "yours");
  assert.equal(left.get(KEY), "");
  left.set(KEY, "m");
  left.set(KEY, "");
  assert.equal(right.get(KEY), "yours");
});

test("what one person began is forgotten in tab and browser, and nobody else's", () => {
  const { browser, open } = tabs();
  const own = new Memory();
  const drafts = open(own);
  for (const person of ["ann", "ann.b"]) drafts.set(`draft.${person}.lobby`, person);
  drafts.forget("draft.ann.");
  assert.deepEqual([own.keys(), browser.keys()], [["draft.ann.b.lobby"], ["draft.ann.b.lobby"]]);
});
