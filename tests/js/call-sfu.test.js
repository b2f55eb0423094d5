// Through the server, which is in memory here: what is said to it and when, what is made of its offers, and that whatever
// goes wrong ends with a new beginning.

import assert from "node:assert/strict";
import { test } from "node:test";

import { HIGH, LOW, Sfu, layerFor } from "../../static/js/call/sfu.js";
import { Clock, idle } from "./clock.js";
import { Track, entry, participant } from "./call-people.js";
import { Connection } from "./peer-connection.js";

/** @import { Participant, Source } from "../../static/js/call/wire.js" */

/** A page in a call, and the server as far as it answers. */
class Page {
  clock = new Clock();
  /** @type {[string, any][]} */
  asked = [];
  /** @type {Map<string, any>} */
  received = new Map();
  /** @type {Map<string, string>} */
  links = new Map();
  /** @type {string[]} */
  troubles = [];
  /** @type {Connection[]} */
  connections = [];
  /** @type {Record<string, string[]>} With which codes the next questions of a kind are refused. */
  refusals = {};
  /** @type {(() => void)[] | null} Answers to `publish` that wait, where they do. */
  held = null;
  me = participant("me");
  sfu;

  /** @param {Participant[]} others */
  constructor(...others) {
    this.others = others;
    this.sfu = new Sfu({
      send: () => Promise.reject(new Error("Nothing goes to another page.")),
      ask: (event, question) => this.#answer(event, structuredClone(question)),
      ice: async () => ({ servers: [{ urls: ["turn:fresh"] }], ends_at: 1 }),
      connect: (config) => {
        const connection = new Connection(config);
        this.connections.push(connection);
        return /** @type {any} */ (connection);
      },
      listener: {
        received: (id, source, track) => {
          if (track) this.received.set(`${id} ${source}`, track);
          else this.received.delete(`${id} ${source}`);
        },
        linked: (id, link) => this.links.set(id, link),
        trouble: (trouble) => this.troubles.push(trouble),
      },
      later: this.clock.later.bind(this.clock),
    });
  }

  /**
   * @param {string} event
   * @param {any} question
   */
  async #answer(event, question) {
    this.asked.push([event, question]);
    const code = this.refusals[event]?.shift();
    if (code) return /** @type {const} */ ({ ok: false, refusal: { code, message: code } });
    if (event === "publish" && this.held) await new Promise((resolve) => this.held?.push(() => resolve(undefined)));
    const sdp = String(question.offer?.sdp).replaceAll("sendonly", "recvonly");
    return /** @type {const} */ ({ ok: true, answer: event === "publish" ? { answer: { type: "answer", sdp } } : {} });
  }

  /** @param {string} event */
  all(event) {
    return this.asked.filter(([name]) => name === event).map(([, question]) => question);
  }

  /** The sources that were said to be sent the last time. */
  get published() {
    return this.all("publish").at(-1)?.tracks.map((/** @type {{source: Source}} */ { source }) => source);
  }

  /** The connections that are not closed. */
  get open() {
    return this.connections.filter(({ connectionState }) => connectionState !== "closed");
  }

  /** @param {Source} source */
  sends(source) {
    const track = new Track(source === "camera" || source === "screen" ? "video" : "audio");
    this.sfu.publish(source, track.asTrack);
    return track;
  }

  async enters() {
    this.sfu.entered(entry(this.me, this.others, { engine: "sfu" }));
    await idle();
  }

  /** With microphone and camera, and connected. */
  async calls() {
    this.sends("microphone");
    this.sends("camera");
    await this.enters();
    this.connects();
    return this;
  }

  connects() {
    for (const connection of this.open) connection.becomes("connected");
  }

  /**
   * @param {number} seq
   * @param {Record<string, [string, Source]>} lines  Whose each line is, by its mid.
   * @param {string} [session]
   */
  async isOffered(seq, lines, session = "janus") {
    const rows = Object.entries(lines).map(([mid, [, source]]) => `m=${mid} ${source === "camera" ? "video" : "audio"} sendonly\r\n`);
    const tracks = Object.entries(lines).map(([mid, [who, source]]) => ({ mid, participant: who, source }));
    const sdp = `v=0\r\no=- ${session} ${seq} IN IP4 0.0.0.0\r\n${rows.join("")}`;
    this.sfu.told("offer", { seq, offer: { type: "offer", sdp }, tracks });
    await idle();
  }

  /** @param {number} people */
  async isJoinedBy(people) {
    for (let at = 0; at < people; at += 1) this.sfu.joined(participant(`guest${at}`, { audio: false, video: false }));
    await idle();
  }

  get up() {
    return this.open.find(({ transceivers }) => transceivers.some(({ direction }) => direction !== "recvonly"));
  }
}

const anna = participant("anna");
const bob = participant("bob");
const candidate = { toJSON: () => ({ candidate: "candidate:1" }) };

test("who enters says that they can receive, then offers all that they send", async () => {
  const page = new Page(anna);
  page.sends("microphone");
  page.sends("camera");
  await page.enters();
  assert.deepEqual(page.asked.map(([event]) => event), ["ready", "publish"]);
  assert.deepEqual(page.published, ["microphone", "camera"]);
  assert.equal(page.connections.length, 1);
});

test("who only watches has nothing to offer", async () => {
  const page = new Page(anna);
  await page.enters();
  assert.deepEqual(page.asked, [["ready", {}]]);
  await page.isOffered(1, { 0: ["anna", "camera"] });
  assert.equal(page.all("ready").at(-1).seq, 1);
  assert.equal(page.connections.length, 1);
});

test("candidates wait until the server knows what they are for", async () => {
  const page = new Page();
  page.held = [];
  page.sends("camera");
  await page.enters();
  page.up?.onicecandidate?.({ candidate });
  page.up?.onicecandidate?.({ candidate: null });
  await idle();
  assert.deepEqual(page.all("candidate"), []);
  page.held.shift()?.();
  await idle();
  assert.deepEqual(page.all("candidate"), [
    { pc: "up", candidate: { candidate: "candidate:1" } },
    { pc: "up", candidate: null },
  ]);
});

test("what leads nowhere is not told, and everything goes by one transport", async () => {
  const page = new Page();
  page.sends("camera");
  await page.enters();
  const active = "candidate:888929698 1 tcp 1518214911 192.0.2.2 9 typ host tcptype active generation 0 ufrag aIMq";
  page.up?.onicecandidate?.({ candidate: { candidate: active, toJSON: () => ({ candidate: active }) } });
  await idle();
  assert.deepEqual(page.all("candidate"), []);
  assert.equal(page.up?.config.bundlePolicy, "max-bundle");
});

test("one negotiation at a time, and the last one says everything", async () => {
  const page = new Page();
  page.held = [];
  page.sends("camera");
  await page.enters();
  page.sends("microphone");
  page.sends("screen");
  await idle();
  assert.equal(page.all("publish").length, 1);
  page.held.shift()?.();
  await idle();
  assert.equal(page.all("publish").length, 2);
  assert.deepEqual(page.published, ["camera", "microphone", "screen"]);
});

test("a screen that is over keeps its line, and the next one takes it", async () => {
  const page = await new Page().calls();
  page.sends("screen");
  await idle();
  const line = page.up?.transceivers[2];
  page.sfu.publish("screen", null);
  await idle();
  assert.deepEqual(page.published, ["microphone", "camera"]);
  assert.equal(line?.direction, "inactive");
  assert.equal(line?.sender.track, null);
  const screen = page.sends("screen");
  await idle();
  assert.deepEqual(page.published, ["microphone", "camera", "screen"]);
  assert.equal(line?.sender.track, screen);
  assert.equal(page.up?.transceivers.length, 3);
});

test("a camera that goes off and on is not negotiated", async () => {
  const page = await new Page().calls();
  page.sfu.publish("camera", null);
  await idle();
  assert.equal(page.up?.transceivers[1].sender.track, null);
  const camera = page.sends("camera");
  await idle();
  assert.equal(page.up?.transceivers[1].sender.track, camera);
  assert.equal(page.all("publish").length, 1);
});

test("whose a line is, each offer says anew", async () => {
  const page = await new Page(anna, bob).calls();
  await page.isOffered(1, { 0: ["anna", "microphone"], 1: ["anna", "camera"] });
  assert.deepEqual([...page.received.keys()], ["anna microphone", "anna camera"]);
  const track = page.received.get("anna camera");
  await page.isOffered(2, { 1: ["bob", "camera"] });
  assert.deepEqual([...page.received.keys()], ["bob camera"]);
  assert.equal(page.received.get("bob camera"), track);
  assert.deepEqual(page.all("ready").slice(1).map(({ seq }) => seq), [1, 2]);
  assert.equal(page.open.length, 2);
});

test("an offer of another session is for another connection", async () => {
  const page = await new Page(anna).calls();
  await page.isOffered(1, { 0: ["anna", "camera"] });
  const track = page.received.get("anna camera");
  await page.isOffered(2, { 0: ["anna", "camera"] }, "another");
  assert.notEqual(page.received.get("anna camera"), track);
  assert.equal(page.connections.length, 3);
  assert.equal(page.open.length, 2);
});

test("when media are lost tiles stay, and when they can come again everything begins anew", async () => {
  const page = await new Page(anna).calls();
  await page.isOffered(1, { 0: ["anna", "camera"] });
  page.connects();
  assert.equal(page.links.get("anna"), "connected");
  page.sfu.told("media", { state: "lost" });
  assert.equal(page.links.get("anna"), "reconnecting");
  assert(page.received.has("anna camera"), "the last picture stays");
  assert.deepEqual(page.troubles, ["media-lost"]);
  page.sfu.told("media", { state: "reset" });
  await idle();
  assert.equal(page.links.get("anna"), "reconnecting");
  assert.deepEqual(page.asked.slice(-2).map(([event]) => event), ["ready", "publish"]);
  assert.deepEqual(page.published, ["microphone", "camera"]);
  await page.isOffered(2, { 0: ["anna", "camera"] }, "another");
  page.connects();
  assert.equal(page.links.get("anna"), "connected");
  assert.equal(page.open.length, 2);
});

test("an answer that comes after a new beginning is nobody's", async () => {
  const page = new Page();
  page.held = [];
  page.sends("camera");
  await page.enters();
  page.sfu.told("media", { state: "reset" });
  await idle();
  for (const go of page.held.splice(0)) go();
  await idle();
  assert.equal(page.open.length, 1);
  assert.equal(page.open[0].signalingState, "stable");
  assert.equal(page.all("publish").length, 2);
});

test("what is refused is tried again from the beginning, ever more slowly", async () => {
  const page = new Page();
  page.refusals = { publish: ["conflict", "timeout"], ready: [] };
  await page.calls();
  assert.equal(page.all("publish").length, 1);
  await page.clock.advance(499);
  assert.equal(page.all("ready").length, 1);
  await page.clock.advance(1);
  assert.equal(page.all("publish").length, 2);
  await page.clock.advance(999);
  assert.equal(page.all("publish").length, 2);
  await page.clock.advance(1);
  assert.equal(page.all("publish").length, 3);
  assert.equal(page.open.length, 1);
});

test("an answer that comes too fast is said again, as it is", async () => {
  const page = await new Page(anna).calls();
  page.refusals = { ready: ["too-fast"] };
  await page.isOffered(1, { 0: ["anna", "camera"] });
  await page.clock.advance(1000);
  assert.equal(page.all("ready").length, 3);
  assert.deepEqual(page.all("ready")[2], page.all("ready")[1]);
  assert.equal(page.connections.length, 2, "nothing begins anew");
  page.refusals = { ready: ["too-fast"] };
  await page.isOffered(2, { 0: ["anna", "camera"] });
  await page.isOffered(1, { 0: ["anna", "camera"] }, "another");
  await page.clock.advance(5000);
  assert.deepEqual(page.all("ready").slice(3).map(({ seq }) => seq), [2, 1], "not for a connection that is gone");
});

test("who comes back to the server finds everything as it was, unless something was under way", async () => {
  const page = await new Page(anna).calls();
  await page.enters();
  assert.equal(page.all("ready").length, 1);
  page.refusals = { publish: ["offline"] };
  page.sends("screen");
  await idle();
  await page.enters();
  assert.equal(page.all("ready").length, 2);
  assert.deepEqual(page.published, ["microphone", "camera", "screen"]);
});

test("who comes back as somebody else, after media were lost, is connected again", async () => {
  const page = await new Page(anna).calls();
  page.sfu.told("media", { state: "lost" });
  page.me = participant("me-again");
  await page.enters();
  await page.isOffered(1, { 0: ["anna", "camera"] });
  page.connects();
  assert.equal(page.links.get("anna"), "connected");
});

test("who comes back as somebody else begins anew", async () => {
  const page = await new Page(anna).calls();
  page.me = participant("me-again");
  await page.enters();
  assert.equal(page.all("publish").length, 2);
});

test("a connection that fails looks for another way with fresh credentials, and if that fails begins anew", async () => {
  const page = await new Page(anna).calls();
  await page.isOffered(1, { 0: ["anna", "camera"] });
  page.connects();
  const [up, down] = page.open;
  down.becomes("failed");
  up.becomes("failed");
  await idle();
  assert.equal(page.links.get("anna"), "failed");
  assert.deepEqual(page.all("restart"), [{}]);
  assert.equal(page.all("publish").length, 2);
  assert.equal(up.restarts, 1);
  assert.deepEqual(down.config.iceServers, [{ urls: ["turn:fresh"] }]);
  up.becomes("connected");
  await page.clock.advance(8_000);
  assert.equal(page.all("ready").length, 2, "the answer to the offer was one");
  await page.clock.advance(500);
  assert.deepEqual(page.all("ready").at(-1), {});
  assert.equal(page.open.length, 1);
});

test("a connection that does not come about is given up, and tried again", async () => {
  const page = new Page(anna);
  page.sends("camera");
  await page.enters();
  await page.clock.advance(15_500);
  assert.equal(page.all("publish").length, 2);
});

test("a connection that has begun to come about, however slowly, is not begun again at once", async () => {
  const page = new Page();
  page.sends("camera");
  await page.enters();
  const { up } = page;
  await page.clock.advance(14_000);
  up?.becomes("connecting");
  await page.clock.advance(14_000);
  assert.equal(page.up, up);
  await page.clock.advance(3_000);
  assert.notEqual(page.up, up, "not for ever");
});

test("who sends nothing is connected, and who does not come is said to", async () => {
  const quiet = participant("quiet", { audio: false, video: false });
  const page = await new Page(anna, quiet).calls();
  assert.equal(page.links.get("quiet"), "connected");
  assert.equal(page.links.get("anna"), "connecting");
  await page.clock.advance(12_000);
  assert.equal(page.links.get("anna"), "failed");
  await page.isOffered(1, { 0: ["anna", "camera"] });
  page.connects();
  assert.equal(page.links.get("anna"), "connected");
  page.sfu.joined({ ...anna, state: "reconnecting" });
  assert.equal(page.links.get("anna"), "reconnecting");
  page.sfu.joined(anna);
  page.sfu.joined({ ...quiet, audio: true });
  assert.equal(page.links.get("anna"), "connected");
  assert.equal(page.links.get("quiet"), "connected", "a line comes in a moment");
});

test("whom the server does not know after one comes back, nothing comes from", async () => {
  const page = await new Page(anna, bob).calls();
  page.others = [bob];
  await page.enters();
  assert.equal(page.links.get("anna"), "failed");
});

test("from five people on a camera is sent in two sizes, in an order that Janus reads rightly", async () => {
  const page = await new Page(anna, bob).calls();
  const sizes = () => page.up?.transceivers[1].sender.parameters.encodings;
  assert.deepEqual(sizes().map((/** @type {any} */ { rid, active }) => [rid, active]), [["h", true], ["l", false]]);
  await page.isJoinedBy(2);
  page.sfu.limit({ people: 9, width: 640, height: 480, frame_rate: 20, bitrate: 400_000 });
  await idle();
  assert.deepEqual(sizes(), [
    { rid: "h", active: true, maxBitrate: 400_000, maxFramerate: 20 },
    { rid: "l", active: true, scaleResolutionDownBy: 2, maxBitrate: 100_000, maxFramerate: 20 },
  ]);
  page.sfu.left("guest0");
  await idle();
  assert.equal(sizes()[1].active, false);
  assert.equal(page.all("publish").length, 1);
});

test("a small tile is fetched small, once for each line that is anew", async () => {
  const page = await new Page(anna, bob).calls();
  const lines = /** @type {Record<string, [string, Source]>} */ ({ 0: ["anna", "microphone"], 1: ["anna", "camera"], 2: ["bob", "camera"] });
  await page.isOffered(1, lines);
  const widths = new Map([["anna", 200], ["bob", 700]]);
  page.sfu.watched(widths);
  assert.deepEqual(page.all("quality"), [], "there is one size as long as we are few");
  await page.isJoinedBy(2);
  assert.deepEqual(page.all("quality"), [{ mid: "1", layer: LOW }]);
  page.sfu.watched(widths);
  assert.equal(page.all("quality").length, 1);
  await page.isOffered(2, { ...lines, 3: ["bob", "microphone"] });
  page.connects();
  assert.equal(page.all("quality").length, 1, "what came before comes as it did");
  await page.isOffered(3, { 0: ["anna", "microphone"] });
  await page.isOffered(4, lines);
  assert.deepEqual(page.all("quality").slice(1), [{ mid: "1", layer: LOW }], "the line was away meanwhile");
  await page.isOffered(5, { ...lines, 1: ["bob", "screen"], 2: ["anna", "camera"] });
  assert.deepEqual(page.all("quality").slice(2), [{ mid: "2", layer: LOW }]);
  await page.isOffered(1, lines, "another");
  assert.deepEqual(page.all("quality").slice(3), [{ mid: "1", layer: LOW }]);
  page.refusals = { quality: ["offline"] };
  page.sfu.watched(new Map([["anna", 500]]));
  await idle();
  page.sfu.watched(new Map([["anna", 500]]));
  assert.deepEqual(page.all("quality").slice(4), [{ mid: "1", layer: HIGH }, { mid: "1", layer: HIGH }]);
});

test("which size is fetched depends on how many there are and how large they are shown", () => {
  assert.equal(layerFor(100, 4), HIGH);
  assert.equal(layerFor(100, 5), LOW);
  assert.equal(layerFor(320, 25), LOW);
  assert.equal(layerFor(321, 25), HIGH);
  assert.equal(layerFor(undefined, 25), HIGH);
});

test("when it is over, nothing is left and nothing is said any more", async () => {
  const page = await new Page(anna).calls();
  await page.isOffered(1, { 0: ["anna", "camera"] });
  page.sfu.close();
  assert.deepEqual(page.open, []);
  assert.deepEqual([...page.received], []);
  const asked = page.asked.length;
  page.sends("screen");
  page.sfu.told("media", { state: "reset" });
  await page.isOffered(2, { 0: ["anna", "camera"] });
  await page.clock.advance(60_000);
  assert.equal(page.asked.length, asked);
});
