import assert from "node:assert/strict";
import { test } from "node:test";

import { Journal } from "../../static/js/journal.js";
import { Memory } from "./memory.js";

/**
 * @param {number} nth
 * @param {string} person
 */
const letter = (nth, person = "alice") =>
  ({ client_id: `c-${nth}`, person, room: "lobby", content: `text ${nth}`, written_at: nth, refusal: null });

test("a note is there when the call returns, for every tab, until it is removed", () => {
  const storage = new Memory();
  const [first, second] = [new Journal(storage), new Journal(storage)];
  second.add(letter(2));
  first.add(letter(1));
  first.add(letter(3, "bob"));
  assert.deepEqual(new Journal(storage).of("alice"), [letter(1), letter(2)]);
  first.remove("c-2");
  assert.deepEqual(second.of("alice"), [letter(1)]);
  assert.deepEqual(second.of("bob"), [letter(3, "bob")]);
});

test("the oldest notes make room", () => {
  const storage = new Memory();
  const journal = new Journal(storage);
  for (let nth = 1; nth <= 60; nth += 1) journal.add(letter(nth, nth % 2 ? "alice" : "bob"));
  assert.equal(storage.keys().length, 50);
  assert.deepEqual(journal.of("alice").map(({ written_at }) => written_at).slice(0, 2), [11, 13]);
  assert.deepEqual(journal.of("bob").at(-1), letter(60, "bob"));
});

test("what is no note is passed over", () => {
  const storage = new Memory();
  for (const [nth, note] of ["null", "{}", "5", "{", JSON.stringify({ ...letter(1), content: 5 })].entries()) {
    storage.setItem(`chatzilla.letter.${nth}`, note);
  }
  storage.setItem("chatzilla.draft.alice.lobby", JSON.stringify(letter(1)));
  assert.deepEqual(new Journal(storage).of("alice"), []);
});

test("changes are noted as what they are", () => {
  const storage = new Memory();
  const journal = new Journal(storage);
  const edit = { ...letter(1), target: "lobby:7", deletes: false };
  const deletion = { ...letter(2), content: "", target: "lobby:7", deletes: true };
  for (const each of [edit, deletion]) journal.add(each);
  assert.deepEqual(journal.of("alice"), [edit, deletion]);
  storage.setItem("chatzilla.letter.c-1", JSON.stringify({ ...edit, target: 5 }));
  assert.deepEqual(journal.of("alice"), [deletion]);
});

test("a discard is noted until it is done, is nobody else's, and the notes stay few", () => {
  const journal = new Journal(new Memory());
  journal.addDiscard(letter(1));
  journal.addDiscard(letter(2, "bob"));
  assert.deepEqual([journal.discards("alice"), journal.discards("bob")], [["c-1"], ["c-2"]]);
  assert.deepEqual(journal.of("alice"), []);
  journal.removeDiscard("c-1");
  assert.deepEqual(journal.discards("alice"), []);
  for (let nth = 1; nth <= 60; nth += 1) journal.addDiscard(letter(nth));
  assert.equal(journal.discards("alice").length + journal.discards("bob").length, 50);
  assert.equal(journal.discards("alice").includes("c-60"), true);
});
