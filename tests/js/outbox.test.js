// The outbox against a real (fake) IndexedDB, a server of ten lines, and a clock that moves when told.

import assert from "node:assert/strict";
import { test } from "node:test";

import { IDBFactory } from "fake-indexeddb";

import { Journal } from "../../static/js/journal.js";
import { openStore } from "../../static/js/outbox-store.js";
import { Outbox, personOf, uuid } from "../../static/js/outbox.js";
import { Clock, idle } from "./clock.js";
import { Memory } from "./memory.js";

/** @import { News } from "../../static/js/outbox.js" */
/** @import { Letter, Store } from "../../static/js/outbox-store.js" */
/** @import { PostAnswer, Refusal, Result } from "../../static/js/protocol.js" */

/** Stores each `client_id` once, and keeps book of all it was asked. */
class Server {
  /** @type {Letter[]} */
  asked = [];
  /** @type {Letter[]} */
  stored = [];
  /** @type {string[]} What to refuse with, next call first. */
  refusals = [];

  /**
   * @param {Letter} letter
   * @returns {Promise<Result<PostAnswer>>}
   */
  async post(letter) {
    this.asked.push({ ...letter });
    const code = this.refusals.shift();
    const lost = code === "timeout";
    const known = this.stored.some(({ client_id }) => client_id === letter.client_id);
    if ((!code || lost) && !known) this.stored.push({ ...letter });
    if (code) return { ok: false, refusal: { code, message: `It is ${code}.` } };
    const seq = 1 + this.stored.findIndex(({ client_id }) => client_id === letter.client_id);
    return { ok: true, answer: { id: `m${seq}`, seq, changed: seq, sent_at: 1, client_id: letter.client_id } };
  }

  get texts() {
    return this.stored.map((letter) => letter.content);
  }
}

/** One browser: its disk, its small storage, its clock, and tabs that hear each other. */
class Browser {
  clock = new Clock();
  disk = new IDBFactory();
  storage = new Memory();
  server = new Server();
  /** @type {{outbox: Outbox, settled: string[], entered: string[]}[]} */
  tabs = [];

  /** @param {{ready?: boolean, person?: string, store?: Store, enter?: (room: string) => Refusal | null}} options */
  async tab({ ready = true, person = "alice", store, enter = () => null } = {}) {
    /** @type {string[]} */
    const settled = [];
    /** @type {string[]} */
    const entered = [];
    const outbox = new Outbox({
      person,
      owner: uuid(),
      journal: new Journal(this.storage),
      store: store ?? (await openStore(this.disk)),
      send: (letter) => this.server.post(letter),
      enter: async (room) => {
        entered.push(room);
        return enter(room);
      },
      tell: (news) => this.#spread(news, outbox),
      changed: () => {},
      settled: (letter) => settled.push(letter.content),
      now: () => this.clock.now,
      later: (run, ms) => this.clock.later(run, ms),
      random: () => 0.5,
    });
    const tab = { outbox, settled, entered };
    this.tabs.push(tab);
    await outbox.open();
    outbox.setReady(ready);
    await idle();
    return tab;
  }

  /**
   * @param {News} news
   * @param {Outbox} from
   */
  #spread(news, from) {
    for (const { outbox } of this.tabs) {
      if (outbox !== from) outbox.told(structuredClone(news));
    }
  }
}

test("a letter is on disk before it is sent, and gone from there when it is settled", async () => {
  const browser = new Browser();
  const store = await openStore(browser.disk);
  const { outbox, settled } = await browser.tab();
  browser.server.refusals = ["timeout"];
  await outbox.write("lobby", "hello");
  await idle();
  assert.deepEqual((await store.all("alice")).map(({ content }) => content), ["hello"]);
  await browser.clock.advance(2_000);
  assert.deepEqual(settled, ["hello"]);
  assert.deepEqual(await store.all("alice"), []);
});

test("what waits for the disk waits for its turn", async () => {
  const browser = new Browser();
  const disk = await openStore(browser.disk);
  let stored = () => {};
  /** @type {Store} */
  const slow = {
    durable: true,
    all: (person) => disk.all(person),
    remove: (id) => disk.remove(id),
    claim: async () => true,
    release: async () => {},
    put: (letter) => disk.put(letter),
    add: async (letter) => {
      await new Promise((resolve) => (stored = () => resolve(undefined)));
      await disk.add(letter);
    },
  };
  const { outbox } = await browser.tab({ store: slow });
  void outbox.write("lobby", "hello");
  await browser.clock.advance(10_000);
  assert.deepEqual(browser.server.asked, []);
  stored();
  await idle();
  assert.deepEqual(browser.server.texts, ["hello"]);
});

test("a reload finds the letters again, in order, under the same ids", async () => {
  const browser = new Browser();
  const { outbox } = await browser.tab({ ready: false });
  for (const text of ["one", "two", "three"]) await outbox.write("lobby", text);
  const ids = outbox.letters.map(({ client_id }) => client_id);
  outbox.close();
  browser.tabs = [];

  const reloaded = await browser.tab();
  await idle();
  assert.deepEqual(browser.server.texts, ["one", "two", "three"]);
  assert.deepEqual(browser.server.stored.map(({ client_id }) => client_id), ids);
  assert.deepEqual(reloaded.outbox.letters, []);
});

/** @type {Store} A disk that is asked and never gets to answer: the page is gone before. */
const tooLate = {
  durable: true,
  add: () => new Promise(() => {}),
  put: () => new Promise(() => {}),
  remove: () => new Promise(() => {}),
  all: () => Promise.resolve([]),
  claim: () => Promise.resolve(true),
  release: () => Promise.resolve(),
};

test("what was written when the page went is found by the next, behind what is on disk, in order, once", async () => {
  const browser = new Browser();
  const early = await browser.tab({ ready: false });
  await early.outbox.write("lobby", "on disk");
  browser.tabs = [];
  const going = await browser.tab({ ready: false, store: tooLate });
  for (const text of ["one", "two", "three"]) void going.outbox.write("lobby", text);
  const ids = going.outbox.letters.map(({ client_id }) => client_id);
  browser.tabs = [];

  const other = await browser.tab({ person: "bob" });
  assert.deepEqual(other.outbox.letters, []);
  const next = await browser.tab({ ready: false });
  assert.deepEqual(next.outbox.letters.map(({ content }) => content), ["on disk", "one", "two", "three"]);
  assert.deepEqual(next.outbox.letters.slice(1).map(({ client_id }) => client_id), ids);
  assert.deepEqual(browser.storage.keys(), []);
  const sending = await browser.tab();
  assert.deepEqual(browser.server.texts, ["on disk", "one", "two", "three"]);
  assert.deepEqual([next.outbox.letters, sending.outbox.letters], [[], []]);
  assert.deepEqual((await browser.tab()).outbox.letters, []);
  assert.equal(browser.server.asked.length, 4);
});

test("two tabs that find the same note send one message", async () => {
  const browser = new Browser();
  const going = await browser.tab({ ready: false, store: tooLate });
  void going.outbox.write("lobby", "hello");
  browser.tabs = [];
  const tabs = await Promise.all([browser.tab(), browser.tab()]);
  await browser.clock.advance(10_000);
  assert.deepEqual(browser.server.texts, ["hello"]);
  assert.deepEqual(tabs.map(({ outbox }) => outbox.letters), [[], []]);
  assert.deepEqual((await browser.tab({ ready: false })).outbox.letters, []);
});

test("what is written while the disk is being read is sent after what is there", async () => {
  const browser = new Browser();
  const early = await browser.tab({ ready: false });
  await early.outbox.write("lobby", "one");
  browser.tabs = [];
  const disk = await openStore(browser.disk);
  let read = () => {};
  const opening = browser.tab({
    store: {
      durable: true,
      add: (letter) => disk.add(letter),
      put: (letter) => disk.put(letter),
      remove: (id) => disk.remove(id),
      claim: (lease, now) => disk.claim(lease, now),
      release: (person) => disk.release(person),
      all: async (person) => {
        const stored = await disk.all(person);
        await new Promise((resolve) => (read = () => resolve(undefined)));
        return stored;
      },
    },
  });
  await idle();
  const [{ outbox }] = browser.tabs;
  outbox.setReady(true);
  await outbox.write("lobby", "two");
  await browser.clock.advance(10_000);
  assert.deepEqual(browser.server.texts, []);
  read();
  await opening;
  assert.deepEqual(browser.server.texts, ["one", "two"]);
});

test("a note is kept while the disk refuses, and goes with its letter", async () => {
  const browser = new Browser();
  const fails = () => Promise.reject(new Error("the disk is full"));
  const full = { ...tooLate, add: fails, put: fails, remove: fails };
  const { outbox } = await browser.tab({ ready: false, store: full });
  await outbox.write("lobby", "hello");
  await outbox.write("lobby", "never mind");
  assert.equal(browser.storage.keys().length, 2);
  await outbox.discard(outbox.letters[1].client_id);
  assert.equal(browser.storage.keys().length, 1);
  outbox.setReady(true);
  await idle();
  assert.deepEqual(browser.server.texts, ["hello"]);
  assert.deepEqual(browser.storage.keys(), []);
});

test("what is discarded in the moment in which the page goes is not there again", async () => {
  const browser = new Browser();
  const disk = await openStore(browser.disk);
  /** @type {Store} */
  const store = { ...tooLate, add: (letter) => disk.add(letter), put: (letter) => disk.put(letter) };
  const { outbox } = await browser.tab({ store });
  browser.server.refusals = ["too-long", "too-long"];
  await outbox.write("lobby", "never mind");
  await outbox.change("lobby", "lobby:7", "nor this");
  await idle();
  void outbox.discard(outbox.letters[0].client_id);
  void outbox.change("lobby", "lobby:7", "but this");
  const kept = await disk.all("alice");
  assert.deepEqual(kept.map(({ content }) => content), ["never mind", "nor this", "but this"], "this page's end came first");

  const { outbox: reloaded } = await browser.tab({ ready: false });
  assert.deepEqual(reloaded.letters.map(({ content }) => content), ["but this"]);
  await idle();
  assert.deepEqual((await disk.all("alice")).map(({ content }) => content), ["but this"]);
  assert.deepEqual(browser.storage.keys(), []);
});

test("letters of one person are not another's", async () => {
  const browser = new Browser();
  const alice = await browser.tab({ ready: false });
  await alice.outbox.write("lobby", "mine");
  const bob = await browser.tab({ person: "bob" });
  await browser.clock.advance(20_000);
  assert.deepEqual(bob.outbox.letters, []);
  assert.deepEqual(browser.server.asked, []);
});

test("a lost answer is asked for again under the same id, and nothing overtakes it", async () => {
  const browser = new Browser();
  const { outbox } = await browser.tab();
  browser.server.refusals = ["timeout", "timeout"];
  void outbox.write("lobby", "one");
  void outbox.write("lobby", "two");
  await browser.clock.advance(30_000);
  assert.deepEqual(browser.server.texts, ["one", "two"]);
  assert.deepEqual(browser.server.asked.map(({ content }) => content), ["one", "one", "one", "two"]);
});

test("a busy server is asked more and more rarely", async () => {
  const browser = new Browser();
  const { outbox } = await browser.tab();
  browser.server.refusals = Array(7).fill("too-fast");
  /** @type {number[]} */
  const at = [];
  const post = browser.server.post.bind(browser.server);
  browser.server.post = (letter) => {
    at.push(browser.clock.now);
    return post(letter);
  };
  void outbox.write("lobby", "hello");
  await browser.clock.advance(120_000);
  const gaps = at.slice(1).map((time, i) => time - at[i]);
  assert.deepEqual(gaps, [1_000, 2_000, 4_000, 8_000, 10_000, 10_000, 10_000]);
  assert.deepEqual(browser.server.texts, ["hello"]);
});

test("a connection that comes back cuts the waiting short", async () => {
  const browser = new Browser();
  const { outbox } = await browser.tab();
  browser.server.refusals = ["unavailable", "unavailable", "unavailable", "unavailable"];
  await outbox.write("lobby", "hello");
  await browser.clock.advance(8_000);
  browser.server.refusals = [];
  outbox.setReady(false);
  outbox.setReady(true);
  await idle();
  assert.deepEqual(browser.server.texts, ["hello"]);
});

for (const code of ["bad-request", "too-long", "conflict", "forbidden", "not-found"]) {
  test(`a letter refused as ${code} waits for the person, and lets the next one pass`, async () => {
    const browser = new Browser();
    const { outbox } = await browser.tab();
    browser.server.refusals = [code];
    void outbox.write("lobby", "one");
    void outbox.write("lobby", "two");
    await browser.clock.advance(60_000);
    assert.deepEqual(browser.server.texts, ["two"]);
    assert.deepEqual(outbox.letters.map(({ refusal }) => refusal), [{ code, message: `It is ${code}.` }]);

    const [{ client_id }] = outbox.letters;
    await outbox.retry(client_id);
    await idle();
    assert.deepEqual(browser.server.stored.map((letter) => letter.client_id).includes(client_id), true);
    assert.deepEqual(outbox.letters, []);
  });
}

test("an error of the server is tried three times, then shown, and survives a reload as refused", async () => {
  const browser = new Browser();
  const { outbox } = await browser.tab();
  browser.server.refusals = ["internal", "internal", "internal"];
  await outbox.write("lobby", "one");
  await browser.clock.advance(60_000);
  assert.equal(browser.server.asked.length, 3);
  assert.equal(outbox.letters[0].refusal?.code, "internal");

  const reloaded = await browser.tab();
  assert.equal(reloaded.outbox.letters[0].refusal?.code, "internal");
  await reloaded.outbox.discard(reloaded.outbox.letters[0].client_id);
  assert.deepEqual(outbox.letters, []);
  assert.deepEqual((await browser.tab()).outbox.letters, []);
});

test("a room that was not joined is joined first", async () => {
  const browser = new Browser();
  const { outbox, entered } = await browser.tab();
  browser.server.refusals = ["not-joined"];
  await outbox.write("garden", "hello");
  await idle();
  assert.deepEqual(entered, ["garden"]);
  assert.deepEqual(browser.server.texts, ["hello"]);
});

test("a room that was not joined is joined first, however often it was tried before", async () => {
  const browser = new Browser();
  const { entered } = await browser.tab();
  browser.server.refusals = ["unavailable", "not-joined", "unavailable", "not-joined", "not-joined"];
  await browser.tabs[0].outbox.write("garden", "hello");
  await browser.clock.advance(60_000);
  assert.deepEqual(entered, ["garden", "garden"]);
  assert.deepEqual(browser.server.texts, ["hello"]);
});

test("a letter for a room that one may not enter is refused, and those behind it go on", async () => {
  const browser = new Browser();
  const { outbox } = await browser.tab({ enter: () => ({ code: "forbidden", message: "It is forbidden." }) });
  browser.server.refusals = ["not-joined"];
  await outbox.write("garden", "hello");
  await outbox.write("lobby", "goodbye");
  await idle();
  assert.deepEqual(outbox.letters.map(({ content, refusal }) => [content, refusal?.code]), [["hello", "forbidden"]]);
  assert.deepEqual(browser.server.texts, ["goodbye"]);
});

test("no answer to a join says nothing about the letter", async () => {
  const browser = new Browser();
  const answers = [{ code: "timeout", message: "" }, null];
  const { outbox } = await browser.tab({ enter: () => answers.shift() ?? null });
  browser.server.refusals = ["not-found", "not-found"];
  await outbox.change("garden", "garden:1", "better");
  await browser.clock.advance(10_000);
  assert.deepEqual([outbox.letters, browser.server.texts], [[], ["better"]]);
});

test("one tab sends for all, and all see it settled", async () => {
  const browser = new Browser();
  const first = await browser.tab();
  const second = await browser.tab();
  await second.outbox.write("lobby", "hello");
  await idle();
  assert.equal(browser.server.asked.length, 1);
  assert.deepEqual([first.settled, second.settled], [["hello"], ["hello"]]);
  assert.deepEqual([first.outbox.letters, second.outbox.letters], [[], []]);
});

test("a letter of a tab that was gone before it could tell is sent before what is written after it", async () => {
  const browser = new Browser();
  const sender = await browser.tab();
  await sender.outbox.write("lobby", "zero");
  await browser.clock.advance(1_000);
  const store = await openStore(browser.disk);
  const gone = { person: "alice", room: "lobby", content: "one", written_at: browser.clock.now, refusal: null };
  await store.add({ client_id: uuid(), ...gone });
  const next = await browser.tab();
  await next.outbox.write("lobby", "two");
  await browser.clock.advance(10_000);
  assert.deepEqual(browser.server.texts, ["zero", "one", "two"]);
});

test("changes stand in the line with messages, and are settled with the message's newest state", async () => {
  const browser = new Browser();
  const { outbox } = await browser.tab({ ready: false });
  await outbox.write("lobby", "one");
  await outbox.change("lobby", "lobby:7", "better");
  await outbox.change("lobby", "lobby:7", null);
  await outbox.write("lobby", "two");
  outbox.close();
  browser.tabs = [];

  const { settled } = await browser.tab();
  await idle();
  const asked = browser.server.asked.map(({ content, target, deletes }) => [content, target, deletes]);
  assert.deepEqual(asked, [
    ["one", undefined, undefined],
    ["better", "lobby:7", false],
    ["", "lobby:7", true],
    ["two", undefined, undefined],
  ]);
  assert.deepEqual(settled, ["one", "better", "", "two"]);
});

test("no such message may mean not joined: it is joined once, and then believed", async () => {
  const browser = new Browser();
  const { outbox, entered } = await browser.tab();
  browser.server.refusals = ["not-found"];
  await outbox.change("garden", "garden:1", "better");
  await idle();
  assert.deepEqual([entered, outbox.letters], [["garden"], []]);
  browser.server.refusals = ["not-found", "not-found"];
  await outbox.change("garden", "garden:2", "better");
  await idle();
  assert.equal(entered.length, 2);
  assert.equal(outbox.letters[0].refusal?.code, "not-found");
});

test("a new change takes the place of one that was refused", async () => {
  const browser = new Browser();
  const { outbox } = await browser.tab();
  browser.server.refusals = ["too-long"];
  await outbox.change("lobby", "lobby:7", "much too long");
  await outbox.change("lobby", "lobby:8", "another message");
  await idle();
  assert.equal(outbox.letters.length, 1);
  await outbox.change("lobby", "lobby:7", "short");
  await idle();
  assert.deepEqual(outbox.letters, []);
  assert.deepEqual(browser.server.texts, ["another message", "short"]);
});

test("a tab that dies is followed by another when its lease has run out", async () => {
  const browser = new Browser();
  const dead = { person: "alice", owner: "a tab that crashed", until: browser.clock.now + 5_000 };
  await (await openStore(browser.disk)).claim(dead, browser.clock.now);
  const { outbox } = await browser.tab();
  await outbox.write("lobby", "hello");
  await browser.clock.advance(3_000);
  assert.deepEqual(browser.server.texts, []);
  await browser.clock.advance(4_000);
  assert.deepEqual(browser.server.texts, ["hello"]);
});

test("a tab that goes offline hands over at once", async () => {
  const browser = new Browser();
  const first = await browser.tab();
  const second = await browser.tab();
  first.outbox.setReady(false);
  await idle();
  await second.outbox.write("lobby", "hello");
  await idle();
  assert.deepEqual(browser.server.texts, ["hello"]);
});

test("a tab gives up its own lease only", async () => {
  const browser = new Browser();
  const store = await openStore(browser.disk);
  const { outbox } = await browser.tab();
  await outbox.write("lobby", "hello");
  await idle();
  assert.deepEqual(browser.server.texts, ["hello"]);
  await browser.clock.advance(6_000);
  const other = { person: "alice", owner: "another tab", until: browser.clock.now + 5_000 };
  assert.equal(await store.claim(other, browser.clock.now), true);
  outbox.close();
  await idle();
  assert.equal(await store.claim({ ...other, owner: "a third tab" }, browser.clock.now), false);
});

test("a message that is heard needs no answer any more", async () => {
  const browser = new Browser();
  const { outbox } = await browser.tab();
  browser.server.refusals = ["timeout"];
  await outbox.write("lobby", "hello");
  await idle();
  await outbox.heard(outbox.letters[0].client_id);
  await browser.clock.advance(60_000);
  assert.equal(browser.server.asked.length, 1);
  assert.deepEqual((await browser.tab()).outbox.letters, []);
});

test("without IndexedDB the letters live in memory", async () => {
  const browser = new Browser();
  const store = await openStore(undefined);
  assert.equal(store.durable, false);
  const { outbox } = await browser.tab({ store });
  await outbox.write("lobby", "one");
  await outbox.write("lobby", "two");
  await idle();
  assert.deepEqual(browser.server.texts, ["one", "two"]);
});

test("a disk that refuses costs the safety and not the message", async () => {
  const browser = new Browser();
  const fails = async () => {
    throw new Error("the disk is full");
  };
  const { outbox } = await browser.tab({
    store: { durable: true, add: fails, put: fails, remove: fails, all: fails, claim: fails, release: fails },
  });
  await outbox.write("lobby", "hello");
  await idle();
  assert.deepEqual(browser.server.texts, ["hello"]);
  assert.deepEqual(outbox.letters, []);
});

test("whoever goes for good leaves no letter, on no tab and on no disk", async () => {
  const browser = new Browser();
  const [left, right] = [await browser.tab({ ready: false }), await browser.tab({ ready: false })];
  const other = await browser.tab({ ready: false, person: "bob" });
  await left.outbox.write("lobby", "one");
  await right.outbox.write("garden", "two");
  await other.outbox.write("lobby", "of somebody else");
  await idle();
  await left.outbox.discardAll();
  await idle();
  assert.deepEqual([left, right].map(({ outbox }) => outbox.letters), [[], []]);
  assert.deepEqual((await browser.tab()).outbox.letters, []);
  assert.equal((await browser.tab({ ready: false, person: "bob" })).outbox.letters.length, 1);
});

test("names are keys however they are typed", () => {
  assert.equal(personOf("  Alice@Example.COM "), "alice@example.com");
  assert.match(uuid(), /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  const made = Number.parseInt(uuid().replaceAll("-", "").slice(0, 12), 16);
  assert.equal(Math.abs(made - Date.now()) < 60_000, true, "it begins with the time");
  assert.notEqual(uuid(), uuid());
});
