import assert from "node:assert/strict";
import { test } from "node:test";

import { lengthInCharacters, roomIdOf } from "../../static/js/protocol.js";
import { dayOf, hueOf, initialsOf, linksIn, typingLine } from "../../static/js/words.js";

test("an emoji counts as one character, as at the server", () => {
  assert.equal(lengthInCharacters("a👋"), 2);
});

test("a typed room name becomes its id, or is none", () => {
  assert.equal(roomIdOf("  Garden Party "), "garden-party");
  assert.equal(roomIdOf("über"), null);
  assert.equal(roomIdOf(""), null);
  assert.equal(roomIdOf("x".repeat(65)), null);
});

test("the days nearby have names", () => {
  const now = new Date(2026, 2, 10, 12).getTime();
  assert.equal(dayOf(now, now), "Today");
  assert.equal(dayOf(new Date(2026, 2, 9, 23, 59).getTime(), now), "Yesterday");
  assert.match(dayOf(new Date(2026, 1, 1).getTime(), now), /1/);
  assert.match(dayOf(new Date(2024, 1, 1).getTime(), now), /2024/);
});

test("initials come from a name, or from what is before the @", () => {
  assert.equal(initialsOf("alice@example.com"), "AL");
  assert.equal(initialsOf("Ada Lovelace"), "AL");
  assert.equal(initialsOf("grace.hopper@example.com"), "GH");
  assert.equal(initialsOf("山田太郎"), "山田");
  assert.equal(initialsOf("🦎"), "🦎");
  assert.equal(initialsOf(""), "?");
});

test("an account keeps its colour", () => {
  assert.equal(hueOf("abc"), hueOf("abc"));
  assert(hueOf("anything") >= 0 && hueOf("anything") < 360);
});

test("web addresses become links, and nothing else does", () => {
  assert.deepEqual(linksIn("see https://a.example/x?y=1, or (http://b.example)."), [
    { text: "see " },
    { text: "https://a.example/x?y=1", href: "https://a.example/x?y=1" },
    { text: ", or (" },
    { text: "http://b.example", href: "http://b.example" },
    { text: ")." },
  ]);
  assert.deepEqual(linksIn("javascript:alert(1) <b>x</b>"), [{ text: "javascript:alert(1) <b>x</b>" }]);
  assert.deepEqual(linksIn(""), []);
});

test("punctuation within an address costs no more time than other signs", () => {
  const text = `http://${".".repeat(200_000)}x`;
  const began = performance.now();
  assert.equal(linksIn(text).map((piece) => piece.text).join(""), text);
  assert(performance.now() - began < 2_000, "the time grows with the square of the length");
  assert.deepEqual(linksIn("http://a.example/*?!*_~"), [
    { text: "http://a.example/", href: "http://a.example/" },
    { text: "*?!*_~" },
  ]);
  assert.deepEqual(linksIn("http://...!"), [{ text: "http://...!" }]);
});

test("the line about typing stays short", () => {
  assert.equal(typingLine([]), "");
  assert.equal(typingLine(["bob"]), "bob is typing…");
  assert.equal(typingLine(["bob", "eve"]), "bob and eve are typing…");
  assert.equal(typingLine(["a", "b", "c"]), "Several people are typing…");
});
