// Many pages in one process: the page's own session, outbox, journal and timelines, with the official client, wired as
// `visit.js` and `writing.js` wire them. What a page would draw is kept by the page's own rules, and watched at every drawing.
//
// Orders come as lines of JSON, [number, page, verb, ...arguments], and are answered by [number, result].

import { register } from "node:module";
import { createInterface } from "node:readline";

import { IDBFactory } from "fake-indexeddb";

import { window } from "./socket_io.mjs";

register("./loader.mjs", import.meta.url, { data: { mutant: process.env.TORTURE_MUTANT ?? "" } });
globalThis.addEventListener = (...listening) => window.page.events.addEventListener(...listening);

const { Connection } = await import("../../static/js/connection.js");
const { Journal } = await import("../../static/js/journal.js");
const { openStore } = await import("../../static/js/outbox-store.js");
const { Outbox, personOf, uuid } = await import("../../static/js/outbox.js");
const { Session } = await import("../../static/js/session.js");
const { entriesOf } = await import("../../static/js/views/message-row.js");

// Smaller than the page's own, so that windows are trimmed and history is loaded in every run.
const ROWS_LIMIT = 400;
const ROWS_AFTER_TRIM = 300;
const DRAW_WITHIN_MS = 100;
const ODDITIES_LIMIT = 20;

/** What a browser keeps when a page is gone. */
class Browser {
  /** @type {Tab[]} */
  tabs = [];
  disk = new IDBFactory();
  items = new Map();
  storage = {
    keys: () => [...this.items.keys()],
    getItem: (key) => this.items.get(key) ?? null,
    setItem: (key, value) => this.items.set(key, value),
    removeItem: (key) => this.items.delete(key),
  };
}

/** What one tab has shown and was told, through all its pages. */
class Tab {
  token = undefined;
  room = "lobby";
  aheadMs = 0;
  written = [];
  acks = [];
  /** Which message was ever shown as sent under a number: a number means one thing for ever. */
  seen = new Map();
  oddities = new Set();
  resets = 0;
  refusals = [];
  pages = 0;
  /** @type {Page | null} */
  page = null;

  constructor({ person, url, transports, room }, browser) {
    Object.assign(this, { person, url, transports, room, browser });
    browser.tabs.push(this);
  }

  odd(what) {
    if (this.oddities.size < ODDITIES_LIMIT) this.oddities.add(what);
  }
}

/** From its loading to its end; what was under way then never comes back. */
class Page {
  events = new EventTarget();
  socket = null;
  #tab;
  #session;
  #outbox = null;
  #gone = false;
  #drawing = false;
  #atBottom = true;

  constructor(tab) {
    this.#tab = tab;
    this.url = tab.url;
    this.transports = tab.transports ? { transports: tab.transports } : {};
    tab.pages += 1;
    window.page = this;
    const here = (action) => (...values) => (this.#gone ? undefined : action(...values));
    this.#session = new Session({ name: tab.person, token: tab.token, room: tab.room }, {
      connect: (ear) => new Connection(Object.fromEntries(Object.entries(ear).map(([key, hear]) => [key, here(hear)]))),
      listener: {
        status: here(() => this.#outbox?.setReady(this.#session.status === "online")),
        joined: here((answer, news) => this.#joined(answer, news)),
        rows: here(() => this.#show()),
        heard: here((message) => this.#ownIsKnown(message)),
        people() {},
        typing() {},
        room() {},
        gone() {},
        you() {},
        mine() {},
        refused: ({ code, message }) => tab.refusals.push(`${code}: ${message}`),
        ended: ({ code, message }) => tab.refusals.push(`${code}: ${message}`),
      },
      later: this.#later,
      now: this.#now,
      random: Math.random,
    });
  }

  async open() {
    const tab = this.#tab;
    const store = await openStore(tab.browser.disk);
    if (this.#gone) return;
    this.#outbox = new Outbox({
      person: personOf(tab.person),
      owner: uuid(),
      journal: new Journal(tab.browser.storage),
      store,
      send: (letter) => this.#send(letter),
      enter: (room) => this.#session.enterToPost(room),
      tell: (news) => this.#tell(news),
      changed: () => this.#show(),
      settled: (letter, answer) => {
        if (!this.#gone) this.#session.settled(letter, answer);
      },
      now: this.#now,
      later: this.#later,
      random: Math.random,
    });
    this.#session.open();
    await this.#outbox.open();
  }

  write(text) {
    const tab = this.#tab;
    tab.written.push([tab.room, text]);
    void this.#outbox.write(tab.room, text);
  }

  /** What another tab of the same browser says. */
  told(news) {
    if (!this.#gone) this.#outbox?.told(news);
  }

  get isOpen() {
    return this.#outbox !== null;
  }

  enter(room) {
    this.#tab.room = room;
    this.#session.enter(room);
    this.#show();
  }

  /** The browser's word on the network. */
  network(state) {
    if (state === "offline") this.#session.networkLost();
    this.events.dispatchEvent(new Event(state));
  }

  /** In good order: the page hears that it is going. */
  leave() {
    this.#outbox?.setReady(false);
    this.crash();
  }

  /** At once, in the middle of whatever it was doing; its connections are cut by the test's proxy. */
  crash() {
    this.#gone = true;
    const { io: manager } = this.socket;
    manager.reconnection(false);
    manager.skipReconnect = true;
    const { engine } = manager;
    if (engine?.transport?.ws) engine.transport.ws.terminate();
    else engine?.close();
  }

  async loadAll() {
    const { timeline } = this.#session;
    this.#atBottom = false;
    for (let before = -1; timeline.hasOlder && timeline.rows.length !== before;) {
      before = timeline.rows.length;
      await this.#session.loadOlder();
    }
    return !timeline.hasOlder;
  }

  state() {
    const { status, room, roster, timeline } = this.#session;
    return {
      status,
      room,
      incomplete: timeline.incomplete,
      has_older: timeline.hasOlder,
      people: roster.people.map(({ name }) => name).sort(),
      letters: (this.#outbox?.letters ?? []).map(({ content }) => content),
      entries: this.#entries().map(({ seq, name, content, state: shown }) => [seq, name, content, shown]),
    };
  }

  #now = () => Date.now() + this.#tab.aheadMs;

  #later = (run, ms) => setTimeout(() => this.#gone || run(), ms);

  /** A BroadcastChannel: later, and as a copy. */
  #tell(news) {
    if (this.#gone) return;
    for (const other of this.#tab.browser.tabs) {
      const copy = structuredClone(news);
      if (other !== this.#tab) setTimeout(() => other.page?.told(copy));
    }
  }

  async #send(letter) {
    const result = await this.#session.post(letter);
    if (this.#gone) return new Promise(() => {});
    if (result.ok) this.#tab.acks.push([letter.room, letter.content, letter.client_id, result.answer.seq]);
    return result;
  }

  #joined({ messages }, { reset }) {
    this.#tab.token = this.#session.token;
    if (reset) this.#tab.resets += 1;
    for (const message of messages) this.#ownIsKnown(message);
    this.#show();
  }

  #ownIsKnown({ sender, client_id }) {
    if (sender === this.#session.you?.id) void this.#outbox?.heard(client_id);
  }

  #show() {
    if (this.#drawing) return;
    this.#drawing = true;
    setTimeout(() => {
      this.#drawing = false;
      if (!this.#gone) this.#draw();
    }, DRAW_WITHIN_MS);
  }

  /** What the person would see now: once each, in order, and a number never means another message. */
  #draw() {
    const tab = this.#tab;
    const { timeline, room } = this.#session;
    if (timeline.rows.length > ROWS_LIMIT && this.#atBottom) timeline.trim(ROWS_AFTER_TRIM);
    const contents = new Set();
    let last = 0;
    for (const { seq, content, state } of this.#entries()) {
      if (contents.has(content)) tab.odd(`${room}: shown twice: ${content}`);
      contents.add(content);
      if (seq === null) {
        last = Infinity;
        if (state === "failed") tab.odd(`${room}: refused for good: ${content}`);
        continue;
      }
      if (seq <= last) tab.odd(`${room}: out of order: ${seq} after ${last}`);
      last = seq;
      const key = `${room}:${seq}`;
      const before = tab.seen.get(key);
      if (before === undefined) tab.seen.set(key, content);
      else if (before !== content) tab.odd(`${key} was ${before} and became ${content}`);
    }
  }

  #entries() {
    const { timeline, room, you } = this.#session;
    const letters = (this.#outbox?.letters ?? []).filter((letter) => letter.room === room);
    return entriesOf({ messages: timeline.rows, letters, you });
  }
}

/** @type {Map<string, Tab>} */
const tabs = new Map();

/** @type {Map<string, Browser>} */
const browsers = new Map();

function browserOf(person) {
  if (!browsers.has(person)) browsers.set(person, new Browser());
  return browsers.get(person);
}

async function begin(tab) {
  tab.page = new Page(tab);
  await tab.page.open();
}

const verbs = {
  open(tab) {
    return begin(tab);
  },
  write(tab, text) {
    // A page without its outbox has no composer yet; one that is gone has none any more.
    if (!tab.page?.isOpen) return false;
    tab.page.write(text);
    return true;
  },
  async reload(tab) {
    tab.page?.leave();
    await begin(tab);
  },
  /** Press Enter and be gone in the same moment, or a few moments later. */
  async crash(tab, text, afterMs) {
    const wrote = verbs.write(tab, text);
    if (afterMs > 0) await new Promise((resolve) => setTimeout(resolve, afterMs));
    tab.page?.crash();
    tab.page = null;
    return wrote;
  },
  vanish(tab) {
    tab.page?.crash();
    tab.page = null;
  },
  network(tab, state) {
    tab.page?.network(state);
  },
  clock(tab, aheadMs) {
    tab.aheadMs = aheadMs;
  },
  move(tab, room) {
    tab.page?.enter(room);
  },
  loadAll(tab) {
    return tab.page?.loadAll() ?? true;
  },
  state(tab) {
    return tab.page?.state() ?? null;
  },
  history({ written, acks, seen, oddities, resets, refusals, pages }) {
    return { written, acks, seen: [...seen], oddities: [...oddities], resets, refusals, pages };
  },
};

async function obey(name, verb, values) {
  if (verb === "new") return void tabs.set(name, new Tab(values[0], browserOf(values[0].person)));
  return verbs[verb](tabs.get(name), ...values);
}

for await (const line of createInterface({ input: process.stdin })) {
  const [number, name, verb, ...values] = JSON.parse(line);
  const answer = (result, error) => process.stdout.write(`${JSON.stringify([number, result ?? null, error])}\n`);
  obey(name, verb, values).then((result) => answer(result, null), (error) => answer(null, String(error?.stack)));
}
process.exit(0);
