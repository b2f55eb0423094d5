// One person's way through a call, against a server in memory: entering, losing, coming back, being told.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Meeting } from "../../static/js/call/meeting.js";
import { Clock, idle } from "./clock.js";
import { Track, entry, participant } from "./call-people.js";

/** @import { Kind, Listener } from "../../static/js/call/capture.js" */
/** @import { EngineWorld } from "../../static/js/call/engine.js" */
/** @import { Ear } from "../../static/js/call/signaling.js" */
/** @import { Refusal, Result } from "../../static/js/protocol.js" */

const me = participant("me");
const anna = participant("anna");
const bob = participant("bob");

/** A signalling connection and the server behind it. */
class Wire {
  connected = false;
  closed = false;
  entry = entry(me, [anna]);
  /** @type {[string, any][]} */
  asked = [];
  /** @type {Record<string, Refusal[]>} What the next questions of a kind are refused with. */
  refusals = {};
  /** @type {(() => void)[] | null} Answers of joins that wait, where they do. */
  held = null;
  ear;

  /** @param {Ear} ear */
  constructor(ear) {
    this.ear = ear;
  }

  open() {
    this.connected = true;
    this.ear.connected();
  }

  close() {
    this.connected = false;
    this.closed = true;
  }

  lose() {
    this.connected = false;
    this.ear.disconnected();
  }

  sayGoodbye() {
    this.asked.push(["leave", {}]);
  }

  /**
   * @template Answer
   * @param {string} event
   * @param {any} question
   * @returns {Promise<Result<Answer>>}
   */
  async ask(event, question) {
    if (!this.connected) return { ok: false, refusal: { code: "offline", message: "" } };
    this.asked.push([event, question]);
    const refusal = this.refusals[event]?.shift();
    if (refusal) return { ok: false, refusal };
    const answer = { join: this.entry, ice: { servers: [], ends_at: null } }[event] ?? {};
    if (event === "join" && this.held) await new Promise((resolve) => this.held?.push(() => resolve(undefined)));
    return { ok: true, answer: /** @type {any} */ (answer) };
  }

  /** @param {string} event */
  all(event) {
    return this.asked.filter(([name]) => name === event).map(([, question]) => question);
  }
}

/** An engine that notes what it is told. */
class Engine {
  /** @type {string[]} */
  notes = [];
  /** @type {[string, number][]} */
  loud = [];
  /** How often it was asked who is loud. */
  looks = 0;
  /** Whether it answers that. */
  deaf = false;
  world;

  /** @param {EngineWorld} world */
  constructor(world) {
    this.world = world;
  }

  /** @param {any} entered */
  entered({ participants }) {
    this.notes.push(`entered ${participants.map((/** @type {{id: string}} */ { id }) => id)}`);
  }

  /** @param {{id: string}} participant */
  joined({ id }) {
    this.notes.push(`joined ${id}`);
  }

  /** @param {string} id */
  left(id) {
    this.notes.push(`left ${id}`);
  }

  /**
   * @param {string} event
   * @param {{from: string}} what
   */
  told(event, { from }) {
    this.notes.push(`${event} ${from}`);
  }

  /**
   * @param {string} source
   * @param {unknown} track
   */
  publish(source, track) {
    this.notes.push(`${track ? "sends" : "stops"} ${source}`);
  }

  relays() {
    this.notes.push("relays");
  }

  /** @param {{bitrate: number}} quality */
  limit({ bitrate }) {
    this.notes.push(`limit ${bitrate}`);
  }

  async levels() {
    this.looks += 1;
    if (this.deaf) await new Promise(() => {});
    return this.loud;
  }

  async routes() {
    return [];
  }

  close() {
    this.notes.push("closed");
  }
}

/** One's own devices, all of which are granted. */
class Devices {
  /** @type {Map<Kind, Track>} */
  tracks = new Map();
  wants = { microphone: true, camera: true };
  devices = { microphones: [], cameras: [], speakers: [] };
  /** @type {import("../../static/js/call/capture.js").Problem[]} */
  problems = [];
  closed = false;
  /** @type {number[]} */
  limits = [];
  listener;

  /** @param {Listener} listener */
  constructor(listener) {
    this.listener = listener;
  }

  /** @param {Kind} kind */
  track(kind) {
    return this.tracks.get(kind) ?? null;
  }

  get speaks() {
    return this.tracks.get("microphone")?.enabled ?? false;
  }

  /** @param {{microphone: boolean, camera: boolean}} wanted */
  async open({ microphone, camera }) {
    if (microphone) this.#has("microphone", new Track("audio"));
    if (camera) this.#has("camera", new Track("video"));
  }

  /** @param {boolean} on */
  async setMicrophone(on) {
    this.wants.microphone = on;
    const track = this.tracks.get("microphone");
    if (track) track.enabled = on;
    return this.speaks;
  }

  /** @param {boolean} on */
  async setCamera(on) {
    if (on) {
      this.#has("camera", new Track("video"));
    } else {
      this.tracks.delete("camera");
      this.listener.track("camera", null);
    }
    return on;
  }

  /** @param {boolean} on */
  whisper(on) {
    const track = this.tracks.get("microphone");
    if (track) track.enabled = on;
  }

  /** @param {{bitrate: number}} quality */
  async limit({ bitrate }) {
    this.limits.push(bitrate);
  }

  chosen() {
    return "";
  }

  async choose() {}

  close() {
    this.closed = true;
    this.tracks.clear();
  }

  /**
   * @param {Kind} kind
   * @param {Track} track
   */
  #has(kind, track) {
    track.enabled = kind === "camera" || this.wants.microphone;
    this.tracks.set(kind, track);
    this.listener.track(kind, track.asTrack);
  }
}

/** Somebody before a call. @param {{watches?: boolean, token?: string}} [how] */
function person({ watches, token = "token" } = {}) {
  const clock = new Clock();
  /** @type {string[]} */
  const told = [];
  /** @type {any} */
  const parts = { clock, told, token, screen: { screen: new Track("video"), sound: new Track("audio") }, meters: 0 };
  const meeting = new Meeting(
    { room: "garden", watches },
    {
      signaling: (ear) => (parts.wire = new Wire(ear)),
      engine: async (_, world) => {
        await parts.loading;
        return /** @type {any} */ (parts.engine = new Engine(world));
      },
      capture: (listener) => /** @type {any} */ (parts.devices = new Devices(listener)),
      askForScreen: async () => parts.screen,
      meter: () => {
        parts.meters += 1;
        return { level: () => 0, close: () => (parts.meters -= 1) };
      },
      token: () => parts.token,
      connect: () => {
        throw new Error("no peer connections here");
      },
      listener: { changed: () => {}, told: (words) => told.push(words), spoken: () => {} },
      later: clock.later.bind(clock),
      now: () => clock.now,
    },
  );
  return /** @type {{meeting: Meeting, clock: Clock, told: string[], wire: Wire, engine: Engine, devices: Devices} & Record<string, any>} */ (
    Object.assign(parts, { meeting })
  );
}

/** Somebody who is in the call with Anna. @param {Parameters<typeof person>[0]} [how] */
async function inside(how) {
  const one = person(how);
  await one.meeting.lookIntoTheMirror();
  one.meeting.enter();
  await idle();
  assert.equal(one.meeting.phase, "in");
  return one;
}

test("one enters with what one sends, and it is sent", async () => {
  const { meeting, wire, engine } = await inside();
  assert.deepEqual(wire.all("join"), [{ room: "garden", media: { audio: true, video: true } }]);
  assert.deepEqual(engine.notes, ["sends camera", "sends microphone", "entered anna", "limit 600000"]);
  assert.equal(meeting.call.count, 2);
});

test("whoever enters muted sends no microphone before the first word", async () => {
  const one = person();
  one.devices.wants.microphone = false;
  await one.meeting.lookIntoTheMirror();
  one.meeting.enter();
  await idle();
  assert.deepEqual(one.wire.all("join")[0].media, { audio: false, video: true });
  assert(!one.engine.notes.includes("sends microphone"));
  await one.meeting.own.setMicrophone(true);
  await idle();
  assert(one.engine.notes.includes("sends microphone"));
  assert.deepEqual(one.wire.all("state").at(-1), { audio: true });
});

test("what comes before the answer of a join and while the engine loads is not lost", async () => {
  const one = person();
  let loaded = () => {};
  one.loading = new Promise((resolve) => (loaded = () => resolve(undefined)));
  one.meeting.enter();
  one.wire.ear.participant({ change: "joined", participant: bob });
  one.wire.ear.signal({ from: "bob", candidate: null });
  await idle();
  one.wire.ear.signal({ from: "anna", candidate: null });
  loaded();
  await idle();
  assert.deepEqual(one.engine.notes.slice(-4), ["joined bob", "limit 150000", "signal bob", "signal anna"]);
  assert.equal(one.meeting.call.count, 3);
});

test("a refusal brings one back to the mirror, with the server's words", async () => {
  const one = person();
  await one.meeting.lookIntoTheMirror();
  one.wire.refusals.join = [{ code: "forbidden", message: "This call is locked." }];
  one.meeting.enter();
  await idle();
  assert.equal(one.meeting.phase, "preview");
  assert.equal(one.meeting.refusal, "This call is locked.");
  assert.equal(one.devices.closed, false);
  one.meeting.enter();
  await idle();
  assert.equal(one.meeting.phase, "in");
});

test("when all places of those who are seen are taken, one may watch", async () => {
  const one = person();
  await one.meeting.lookIntoTheMirror();
  one.wire.refusals.join = [{ code: "full", message: "6 people can be seen." }];
  one.meeting.enter();
  await idle();
  assert.equal(one.meeting.mayStillWatch, true);
  one.meeting.enter({ watch: true });
  await idle();
  assert.equal(one.meeting.phase, "in");
  assert.equal(one.devices.closed, true);
  assert.deepEqual(one.wire.all("join").at(-1).media, { audio: false, video: false });
});

test("there being no place for a camera is told, and it goes off again", async () => {
  const one = await inside();
  await one.meeting.own.setCamera(false);
  one.wire.refusals.state = [{ code: "full", message: "6 people can be seen." }];
  await one.meeting.own.setCamera(true);
  await idle();
  assert(one.told.includes("6 people can be seen."));
  assert.equal(one.devices.tracks.has("camera"), false);
  assert.equal(one.engine.notes.at(-1), "stops camera");
});

test("losing the server touches no media, and the same participant comes back", async () => {
  const one = await inside();
  const before = one.engine.notes.length;
  one.wire.lose();
  await one.clock.advance(5_000);
  assert.equal(one.meeting.phase, "in");
  assert.equal(one.meeting.attendance.reachable, false);
  assert.deepEqual(one.engine.notes.slice(before), []);
  one.wire.entry = entry(me, [anna, bob]);
  one.wire.open();
  await idle();
  assert.equal(one.wire.all("join").at(-1).resume, "key");
  assert.equal(one.meeting.attendance.reachable, true);
  assert.deepEqual(one.engine.notes.slice(before), ["entered anna,bob", "limit 150000"]);
});

test("a place that is not kept any more is no reason to stay out", async () => {
  const one = await inside();
  one.wire.lose();
  one.wire.refusals.join = [{ code: "not-found", message: "" }];
  one.wire.open();
  await idle();
  assert.equal(one.meeting.phase, "in");
  assert.deepEqual(one.wire.all("join").map(({ resume }) => resume), [undefined, "key", undefined]);
});

test("while the server is busy one asks again; when it says no, one is out", async () => {
  const one = await inside();
  one.wire.lose();
  one.wire.refusals.join = [{ code: "unavailable", message: "" }, { code: "timeout", message: "" }];
  one.wire.open();
  await one.clock.advance(5_000);
  assert.equal(one.wire.all("join").length, 4);
  assert.equal(one.meeting.phase, "in");
  one.wire.lose();
  one.wire.refusals.join = [{ code: "forbidden", message: "You were removed from this call." }];
  one.wire.open();
  await idle();
  assert.equal(one.meeting.phase, "over");
  assert.equal(one.meeting.farewell?.words, "You were removed from this call.");
  assert.equal(one.devices.closed, true);
  assert.equal(one.engine.notes.at(-1), "closed");
});

test("a token that is refused is tried once more only if it is another one by then", async () => {
  const one = person();
  let opened = 0;
  one.wire.open = () => {
    opened += 1;
    one.wire.ear.token();
  };
  const refuse = () => one.wire.ear.refused({ code: "sign-in", message: "Your token is over." });
  one.meeting.enter();
  refuse();
  assert.equal(opened, 1);
  assert.equal(one.meeting.phase, "preview");
  assert.equal(one.meeting.refusal, "Your token is over.");
  one.meeting.enter();
  one.token = "a fresh one";
  refuse();
  assert.equal(opened, 3);
  assert.equal(one.meeting.phase, "connecting");
  refuse();
  assert.equal(one.meeting.phase, "preview");
});

test("how many we are decides how much is sent", async () => {
  const one = await inside();
  one.wire.ear.participant({ change: "joined", participant: bob });
  assert.equal(one.engine.notes.at(-1), "limit 150000");
  assert.equal(one.devices.limits.at(-1), 150_000);
  one.wire.ear.participant({ change: "left", participant: bob, reason: "left" });
  assert.deepEqual(one.engine.notes.slice(-2), ["left bob", "limit 600000"]);
  assert.deepEqual(one.told, ["Bob joined.", "Bob left."]);
});

test("a screen is shared with its sound, and ended by the browser's own button too", async () => {
  const one = await inside();
  await one.meeting.own.share();
  await idle();
  assert.deepEqual(one.engine.notes.slice(-2), ["sends screen", "sends screen-audio"]);
  assert.deepEqual(one.wire.all("state").at(-1), { screen: true });
  one.screen.screen.ends();
  assert.deepEqual(one.engine.notes.slice(-2), ["stops screen", "stops screen-audio"]);
  assert.deepEqual(one.wire.all("state").at(-1), { screen: false });
  assert.equal(one.meeting.own.sharing, false);
  assert.equal(one.screen.sound.stopped, true);
});

test("a second press while the browser still asks for a screen asks for no second one", async () => {
  const one = await inside();
  const { screen } = one;
  /** @type {((screen: object) => void)[]} */
  const asked = [];
  one.screen = new Promise((resolve) => asked.push(resolve));
  const first = one.meeting.own.share();
  one.screen = { screen: new Track("video"), sound: null };
  await one.meeting.own.share();
  asked[0](screen);
  await first;
  await idle();
  assert.equal(one.engine.notes.filter((/** @type {string} */ note) => note === "sends screen").length, 1);
  one.meeting.own.stopSharing();
  assert.equal(screen.screen.stopped, true);
  await one.meeting.own.share();
  assert.equal(one.meeting.own.sharing, true, "and another time it asks again");
});

test("a screen that is not to be had is no silence", async () => {
  const one = await inside();
  one.screen = null;
  await one.meeting.own.share();
  assert.deepEqual(one.told, ["Your screen is not shared."]);
  assert.equal(one.meeting.own.sharing, false);
});

test("stopping a screen leaves the camera as it is", async () => {
  const one = await inside();
  await one.meeting.own.setCamera(false);
  await one.meeting.own.share();
  await idle();
  one.meeting.own.stopSharing();
  assert.equal(one.devices.tracks.has("camera"), false);
  assert(!one.engine.notes.slice(-2).some((line) => line.includes("camera")));
});

test("to talk while a key is held", async () => {
  const one = await inside();
  await one.meeting.own.setMicrophone(false);
  one.meeting.own.whisper(true);
  assert.equal(one.devices.speaks, true);
  assert.deepEqual(one.wire.all("state").at(-1), { audio: true });
  one.meeting.own.whisper(false);
  assert.equal(one.devices.speaks, false);
  assert.deepEqual(one.wire.all("state").at(-1), { audio: false });
});

test("the key changes nothing for whoever is not muted", async () => {
  const one = await inside();
  const before = one.wire.asked.length;
  one.meeting.own.whisper(true);
  one.meeting.own.whisper(false);
  assert.equal(one.devices.speaks, true);
  assert.equal(one.wire.asked.length, before);
});

test("a moderator's word is obeyed, and one is told whose it was", async () => {
  const one = await inside();
  const by = { id: "anna", name: "Anna" };
  one.wire.ear.moderated({ action: "mute", source: "microphone", by });
  await idle();
  assert.equal(one.devices.speaks, false);
  await one.meeting.own.share();
  await idle();
  one.wire.ear.moderated({ action: "unpublish", source: "screen", by });
  await idle();
  assert.equal(one.meeting.own.sharing, false);
  one.wire.ear.moderated({ action: "unpublish", source: "camera", by });
  await idle();
  assert.equal(one.devices.tracks.has("camera"), false);
  assert.deepEqual(one.told, ["Anna muted you.", "Anna switched off your screen.", "Anna switched off your camera."]);
});

test("whoever is removed, or entered elsewhere, sends nothing more", async () => {
  for (const end of [
    (/** @type {Ear} */ ear) => ear.ended({ reason: "kicked", by: { id: "anna", name: "Anna" } }),
    (/** @type {Ear} */ ear) => ear.superseded(),
  ]) {
    const one = await inside();
    await one.meeting.own.share();
    await idle();
    end(one.wire.ear);
    assert.equal(one.meeting.phase, "over");
    assert.equal(one.devices.closed, true);
    assert.equal(one.screen.screen.stopped, true);
    assert.equal(one.engine.notes.at(-1), "closed");
    const joins = one.wire.all("join").length;
    one.wire.lose();
    one.wire.open();
    await idle();
    assert.equal(one.wire.all("join").length, joins, "and does not come back by itself");
  }
});

test("who is removed may not enter again, who entered elsewhere may", async () => {
  const kicked = await inside();
  kicked.wire.ear.ended({ reason: "kicked", by: { id: "anna", name: "Anna" } });
  assert.equal(kicked.meeting.farewell?.title, "Anna removed you from the call");
  assert.equal(kicked.meeting.farewell?.again, false);
  const elsewhere = await inside();
  elsewhere.wire.ear.superseded();
  assert.equal(elsewhere.meeting.farewell?.again, true);
});

test("somebody with the right to watch sends nothing and is asked for nothing", async () => {
  const one = person({ watches: true });
  await one.meeting.lookIntoTheMirror();
  assert.equal(one.devices.tracks.size, 0);
  one.wire.entry = entry(participant("me", { role: "subscriber", audio: false, video: false }), [anna], {
    grants: { publish: false, screen: false, moderate: false },
  });
  one.meeting.enter();
  await idle();
  assert.deepEqual(one.engine.notes, ["entered anna", "limit 600000"]);
  assert.deepEqual(one.wire.all("state"), [{ hand: false }]);
  await one.meeting.own.share();
  assert.equal(one.meeting.own.sharing, false);
});

test("fresh credentials come before the old ones are over", async () => {
  const one = person();
  one.wire.entry = entry(me, [anna], { ice: { servers: [], ends_at: one.clock.now + 100_000 } });
  one.meeting.enter();
  await idle();
  await one.clock.advance(79_000);
  assert(!one.engine.notes.includes("relays"));
  await one.clock.advance(2_000);
  assert(one.engine.notes.includes("relays"));
});

test("a page that cannot load the engine says so, and leaves no empty seat behind", async () => {
  const one = person();
  one.loading = Promise.reject(new Error("404"));
  one.meeting.enter();
  await idle();
  assert.equal(one.meeting.phase, "preview");
  assert.match(one.meeting.refusal, /Load it again/);
  assert.equal(one.wire.all("leave").length, 1);
});

test("leaving says so and lets go of everything", async () => {
  const one = await inside();
  one.meeting.leave();
  assert.equal(one.wire.all("leave").length, 1);
  assert.equal(one.devices.closed, true);
  assert.equal(one.engine.notes.at(-1), "closed");
  assert.equal(one.meters, 0);
  assert.equal(one.wire.closed, false, "not before it is heard: a connection that ends at once is one that was lost");
  await idle();
  assert.equal(one.wire.closed, true);
});

test("a page that goes away says goodbye", async () => {
  const one = await inside();
  one.meeting.vanish();
  assert.equal(one.wire.all("leave").length, 1);
});

test("who speaks is marked, by the levels of the engine", async () => {
  const one = await inside();
  one.engine.loud = [["anna", 0.3]];
  await one.clock.advance(600);
  assert.equal(one.meeting.call.tiles.find(({ key }) => key === "anna")?.speaking, true);
  one.engine.loud = [];
  await one.clock.advance(5_000);
  assert.equal(one.meeting.call.tiles.find(({ key }) => key === "anna")?.speaking, false);
});

test("one look at the levels at a time, however long it takes; the roster does not wait for it", async () => {
  const one = await inside();
  one.engine.deaf = true;
  await one.clock.advance(300);
  const { looks } = one.engine;
  await one.clock.advance(10_000);
  assert.equal(one.engine.looks, looks);
  one.wire.ear.participant({ change: "joined", participant: participant("carl") });
  assert.deepEqual(one.meeting.call.others.map(({ id }) => id), ["anna", "carl"]);
});
