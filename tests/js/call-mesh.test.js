// The mesh on a network that delivers, delays and loses: who offers, what crosses, what is said again.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Mesh } from "../../static/js/call/mesh.js";
import { Clock, idle } from "./clock.js";
import { Track, entry, participant } from "./call-people.js";
import { Connection } from "./peer-connection.js";

/** @import { Participant, Source } from "../../static/js/call/wire.js" */

/** Somebody in a call, with an engine. */
class Node {
  /** @type {Map<string, Map<Source, any>>} */
  received = new Map();
  /** @type {[string, string][]} */
  links = [];
  /** @type {Connection[]} */
  connections = [];
  /** @type {[string, any][]} */
  sent = [];
  /** Whether the server can be reached. */
  online = true;
  relaysAsked = 0;
  me;
  mesh;
  #net;

  /**
   * @param {Net} net
   * @param {Participant} me
   */
  constructor(net, me) {
    this.#net = net;
    this.me = me;
    this.mesh = new Mesh({
      send: async (to, body) => {
        const other = net.nodes.get(to);
        this.sent.push([to, body]);
        if (!this.online || !other?.online) return false;
        if (net.loses(body)) return false;
        await net.turn();
        other.mesh.told("signal", { from: me.id, ...structuredClone(body) });
        await net.acknowledgement();
        return true;
      },
      ask: async () => {
        throw new Error("a mesh asks nothing else");
      },
      ice: async () => {
        this.relaysAsked += 1;
        return this.online ? { servers: [{ urls: ["turn:fresh"] }], ends_at: 1 } : null;
      },
      connect: (config) => {
        const connection = new Connection(config);
        this.connections.push(connection);
        net.connected(connection);
        return /** @type {any} */ (connection);
      },
      listener: {
        received: (id, source, track) => {
          const media = this.received.get(id) ?? new Map();
          this.received.set(id, media);
          if (track) media.set(source, track);
          else media.delete(source);
        },
        linked: (id, link) => this.links.push([id, link]),
        trouble: () => {},
      },
      later: net.clock.later.bind(net.clock),
    });
  }

  get connection() {
    return this.connections[this.connections.length - 1];
  }

  /** @param {string} id */
  sources(id) {
    return [...(this.received.get(id)?.keys() ?? [])].sort();
  }

  get offers() {
    return this.sent.filter(([, { description }]) => description?.type === "offer").map(([to]) => to);
  }

  /** @param {Source} source */
  sends(source) {
    const track = new Track(source === "camera" || source === "screen" ? "video" : "audio");
    this.mesh.publish(source, track.asTrack);
    return track;
  }

  /** @param {Partial<import("../../static/js/call/wire.js").Entry>} [facts] */
  async enters(facts) {
    const others = this.#net.inside.filter((node) => node !== this).map(({ me }) => me);
    const again = this.#net.inside.includes(this);
    if (!again) this.#net.inside.push(this);
    this.mesh.entered(entry(this.me, others, facts));
    for (const node of this.#net.inside) if (node !== this) node.mesh.joined(this.me);
    await idle();
  }

  connects() {
    for (const connection of this.connections) if (connection.connectionState === "new") connection.becomes("connected");
  }
}

/** The server between them. */
class Net {
  clock = new Clock();
  /** @type {Map<string, Node>} */
  nodes = new Map();
  /** @type {Node[]} */
  inside = [];
  /** @type {(() => Promise<void>)} */
  turn = async () => {};
  /** How long whoever sent something waits to hear that it arrived. @type {(() => Promise<void>)} */
  acknowledgement = async () => {};
  /** What the server does not pass on. @type {(body: any) => boolean} */
  loses = () => false;
  /** What is done to a connection as it is made. @type {(connection: Connection) => void} */
  connected = () => {};

  /**
   * @param {string} id
   * @param {Partial<Participant>} [facts]
   */
  node(id, facts) {
    const node = new Node(this, participant(id, facts));
    this.nodes.set(id, node);
    return node;
  }

  /** @param {string[]} ids  Everybody with microphone and camera, in the call and connected. */
  async call(...ids) {
    const nodes = ids.map((id) => this.node(id));
    for (const node of nodes) {
      node.sends("microphone");
      node.sends("camera");
      await node.enters();
    }
    for (const node of nodes) node.connects();
    return nodes;
  }
}

test("who comes offers, those who are in answer, and everybody receives everybody", async () => {
  const [anna, bob, carl] = await new Net().call("anna", "bob", "carl");
  assert.deepEqual(anna.offers, []);
  assert.deepEqual(bob.offers, ["anna"]);
  assert.deepEqual(carl.offers, ["anna", "bob"]);
  for (const node of [anna, bob, carl]) {
    for (const other of [anna, bob, carl]) {
      if (node !== other) assert.deepEqual(node.sources(other.me.id), ["camera", "microphone"]);
    }
    assert.equal(node.connections.length, 2);
  }
});

test("an offer that overtakes the news of who made it is kept", async () => {
  const net = new Net();
  const anna = net.node("anna");
  const bob = net.node("bob");
  anna.sends("camera");
  bob.sends("camera");
  anna.mesh.entered(entry(anna.me, []));
  bob.mesh.entered(entry(bob.me, [anna.me]));
  await idle();
  assert.deepEqual(anna.sources("bob"), []);
  anna.mesh.joined(bob.me);
  await idle();
  assert.deepEqual(anna.sources("bob"), ["camera"]);
  assert.deepEqual(bob.sources("anna"), ["camera"]);
});

test("strangers cannot fill the memory", async () => {
  const net = new Net();
  const anna = net.node("anna");
  await anna.enters();
  for (let stranger = 0; stranger < 100; stranger += 1) {
    for (let signal = 0; signal < 200; signal += 1) {
      anna.mesh.told("signal", { from: `stranger-${stranger}`, candidate: { candidate: `${signal}` } });
    }
  }
  for (let stranger = 0; stranger < 100; stranger += 1) anna.mesh.joined(participant(`stranger-${stranger}`));
  await idle();
  assert.equal(anna.connections.length, 0, "candidates alone make no connection");
});

test("two screens at the same moment: both arrive", async () => {
  const net = new Net();
  const [anna, bob] = await net.call("anna", "bob");
  anna.sends("screen");
  bob.sends("screen");
  await idle();
  assert.deepEqual(anna.sources("bob"), ["camera", "microphone", "screen"]);
  assert.deepEqual(bob.sources("anna"), ["camera", "microphone", "screen"]);
  assert.equal(anna.connections.length, 1);
  assert.equal(anna.connection.signalingState, "stable");
});

test("an offer that is given up was never applied, whoever came first", async () => {
  for (const ids of [["anna", "bob"], ["bob", "anna"]]) {
    const net = new Net();
    const nodes = await net.call(...ids);
    for (const source of /** @type {const} */ (["screen", "screen-audio"])) {
      for (const node of nodes) node.sends(source);
      await idle();
    }
    const [polite] = nodes.filter(({ me }) => me.id === "bob");
    assert.equal(polite.offers.length > 1, true, "it did offer");
    for (const node of nodes) {
      const [other] = nodes.filter((each) => each !== node);
      assert.deepEqual(node.sources(other.me.id), ["camera", "microphone", "screen", "screen-audio"]);
      assert.equal(node.connections.length, 1);
      assert.equal(node.connection.rollbacks, 0);
      assert.equal(node.connection.signalingState, "stable");
    }
  }
});

test("however offers cross, in the end everybody receives what the other sends", async () => {
  for (let seed = 1; seed <= 24; seed += 1) {
    const random = randomFrom(seed);
    const ids = random() < 0.5 ? ["anna", "bob"] : ["bob", "anna"];
    const net = new Net();
    const nodes = await net.call(...ids);
    let line = Promise.resolve();
    net.turn = () => (line = line.then(() => turns(random() * 6)));
    net.acknowledgement = () => turns(random() * 30);
    const sending = nodes.map(() => new Set(["camera", "microphone"]));
    for (let step = 0; step < 12; step += 1) {
      const at = random() < 0.5 ? 0 : 1;
      const source = random() < 0.5 ? "screen" : "screen-audio";
      if (sending[at].delete(source)) {
        nodes[at].mesh.publish(source, null);
      } else {
        sending[at].add(source);
        nodes[at].sends(source);
      }
      // With any news of somebody, what they may not have heard is said again.
      if (random() < 0.5) nodes[at].mesh.joined(nodes[1 - at].me);
      await turns(random() * random() * 20);
    }
    for (let round = 0; round < 3; round += 1) await idle();
    for (const [at, node] of nodes.entries()) {
      assert.deepEqual(node.sources(nodes[1 - at].me.id), [...sending[1 - at]].sort(), `seed ${seed}`);
      assert.equal(node.connections.length, 1);
      assert.equal(node.connection.signalingState, "stable");
      assert.equal(node.connection.rollbacks, 0);
    }
  }
});

test("an answer that is said twice is not taken for the answer to the next offer", async () => {
  for (const id of ["anna", "bob"]) {
    const net = new Net();
    const nodes = await net.call("anna", "bob");
    const [sender] = nodes.filter(({ me }) => me.id === id);
    const [other] = nodes.filter((node) => node !== sender);
    sender.sends("screen");
    await idle();
    const [, answer] = other.sent[other.sent.length - 1];
    assert.equal(answer.description.type, "answer");
    /** @type {(() => void)[]} */
    const held = [];
    net.turn = () => new Promise((resolve) => held.push(resolve));
    sender.sends("screen-audio");
    await idle();
    sender.mesh.told("signal", { from: other.me.id, ...answer });
    await idle();
    net.turn = async () => {};
    held.shift()?.();
    await idle();
    const directions = sender.connection.transceivers.map(({ currentDirection }) => currentDirection);
    assert.deepEqual(directions, ["sendrecv", "sendrecv", "sendonly", "sendonly"]);
    assert.equal(sender.connection.signalingState, "stable");
  }
});

test("what changes while an offer of whoever is polite waits for its answer is offered after it", async () => {
  const net = new Net();
  const [anna, bob] = await net.call("anna", "bob");
  /** @type {(() => void)[]} */
  const held = [];
  net.turn = () => new Promise((resolve) => held.push(resolve));
  bob.sends("screen");
  await idle();
  bob.mesh.publish("screen", null);
  bob.sends("screen-audio");
  await idle();
  assert.equal(held.length, 1, "one offer at a time");
  net.turn = async () => {};
  held.shift()?.();
  await idle();
  assert.deepEqual(anna.sources("bob"), ["camera", "microphone", "screen-audio"]);
  assert.equal(bob.connection.signalingState, "stable");
});

test("a screen that ends is told, and the next one takes the same line", async () => {
  const net = new Net();
  const [anna, bob] = await net.call("anna", "bob");
  anna.sends("screen");
  anna.sends("screen-audio");
  await idle();
  const lines = anna.connection.transceivers.length;
  assert.equal(lines, 4);
  for (let round = 0; round < 5; round += 1) {
    anna.mesh.publish("screen", null);
    anna.mesh.publish("screen-audio", null);
    await idle();
    assert.deepEqual(bob.sources("anna"), ["camera", "microphone"]);
    anna.sends("screen");
    anna.sends("screen-audio");
    await idle();
    assert.deepEqual(bob.sources("anna"), ["camera", "microphone", "screen", "screen-audio"]);
  }
  assert.equal(anna.connection.transceivers.length, lines);
});

test("whoever comes while a screen is shared gets it", async () => {
  const net = new Net();
  const [anna] = await net.call("anna");
  anna.sends("screen");
  const bob = net.node("bob");
  bob.sends("microphone");
  await bob.enters();
  assert.deepEqual(bob.sources("anna"), ["camera", "microphone", "screen"]);
  assert.deepEqual(anna.sources("bob"), ["microphone"]);
});

test("a camera that goes off and on needs no negotiation", async () => {
  const net = new Net();
  const [anna, bob] = await net.call("anna", "bob");
  const before = anna.sent.length + bob.sent.length;
  anna.mesh.publish("camera", null);
  await idle();
  const again = anna.sends("camera");
  await idle();
  assert.equal(anna.sent.length + bob.sent.length, before);
  assert.equal(anna.connection.transceivers.find(({ kind }) => kind === "video")?.sender.track, again);
});

test("whoever sends nothing yet asks for no place, and is seen from the first picture on", async () => {
  const net = new Net();
  const [anna] = await net.call("anna");
  const bob = net.node("bob");
  await bob.enters();
  assert(bob.connection.transceivers.every(({ direction }) => direction === "recvonly"));
  assert.deepEqual(bob.sources("anna"), ["camera", "microphone"]);
  assert.deepEqual(anna.sources("bob"), []);
  bob.sends("camera");
  await idle();
  assert.deepEqual(anna.sources("bob"), ["camera"]);
});

test("between two who both watch there is no connection", async () => {
  const net = new Net();
  const grants = { publish: false, screen: false, moderate: false };
  const anna = net.node("anna", { role: "subscriber" });
  const bob = net.node("bob", { role: "subscriber" });
  await anna.enters({ grants });
  await bob.enters({ grants });
  assert.equal(anna.connections.length + bob.connections.length, 0);
});

test("an offer that did not arrive is made again when the other is back", async () => {
  const net = new Net();
  const [anna, bob] = await net.call("anna", "bob");
  bob.online = false;
  anna.sends("screen");
  await idle();
  assert.deepEqual(bob.sources("anna"), ["camera", "microphone"]);
  bob.online = true;
  await bob.enters();
  assert.deepEqual(bob.sources("anna"), ["camera", "microphone", "screen"]);
  assert.equal(anna.connections.length, 1);
  assert.equal(bob.connections.length, 1);
});

test("an offer whose maker was out of reach is made again when they are back", async () => {
  const net = new Net();
  const [anna, bob] = await net.call("anna", "bob");
  anna.online = false;
  anna.sends("screen");
  await idle();
  anna.online = true;
  await anna.enters();
  assert.deepEqual(bob.sources("anna"), ["camera", "microphone", "screen"]);
  assert.equal(bob.connections.length, 1);
});

test("coming back leaves alone what works, and sets up anew what does not", async () => {
  const net = new Net();
  const [anna, bob, carl] = await net.call("anna", "bob", "carl");
  const [withAnna, withBob] = carl.connections;
  withBob.becomes("failed");
  await carl.enters();
  assert.equal(carl.connections.length, 3);
  assert.equal(withAnna.signalingState, "stable");
  assert.equal(withBob.signalingState, "closed");
  assert.deepEqual(bob.sources("carl"), ["camera", "microphone"]);
  assert.deepEqual(carl.sources("bob"), ["camera", "microphone"]);
  assert.equal(anna.connections.length, 2);
});

test("both sides set up anew at the same moment, and one connection is left", async () => {
  const net = new Net();
  const [anna, bob] = await net.call("anna", "bob");
  anna.connection.becomes("failed");
  bob.connection.becomes("failed");
  await Promise.all([anna.enters(), bob.enters()]);
  anna.connects();
  bob.connects();
  assert.equal(anna.connection.signalingState, "stable");
  assert.equal(bob.connection.signalingState, "stable");
  assert.deepEqual(anna.sources("bob"), ["camera", "microphone"]);
  assert.deepEqual(bob.sources("anna"), ["camera", "microphone"]);
});

test("an offer to a connection that the other side has given up does not stand in the way of a new one", async () => {
  const net = new Net();
  const [anna, bob] = await net.call("anna", "bob");
  net.turn = () => new Promise(() => {}); // what Anna says now arrives, and its answer never comes
  anna.sends("screen");
  await idle();
  assert.equal(anna.connection.signalingState, "have-local-offer");
  net.turn = async () => {};
  bob.connection.becomes("failed");
  await net.clock.advance(12_000);
  anna.connects();
  bob.connects();
  assert.deepEqual(bob.sources("anna"), ["camera", "microphone", "screen"]);
  assert.deepEqual(anna.sources("bob"), ["camera", "microphone"]);
});

test("a failed connection is restarted by one side with fresh credentials; then everything begins anew", async () => {
  const net = new Net();
  const [anna, bob] = await net.call("anna", "bob");
  const first = anna.connection;
  anna.connection.becomes("failed");
  bob.connection.becomes("failed");
  await net.clock.advance(100);
  assert.equal(anna.relaysAsked, 1);
  assert.equal(first.restarts, 1);
  assert.deepEqual(first.config.iceServers, [{ urls: ["turn:fresh"] }]);
  assert.equal(bob.relaysAsked, 0, "whoever is polite waits");
  await net.clock.advance(9_000);
  assert.notEqual(anna.connection, first);
  assert.equal(anna.connection.signalingState, "stable");
  anna.connects();
  bob.connects();
  const { length } = anna.connections;
  await net.clock.advance(120_000);
  assert.equal(anna.connections.length, length, "what is connected is left alone");
});

test("a connection that never comes about is tried again, as long as the other is there", async () => {
  const net = new Net();
  const anna = net.node("anna");
  const bob = net.node("bob");
  await anna.enters();
  await bob.enters();
  await net.clock.advance(60_000);
  assert(bob.connections.length >= 3);
  assert(bob.connections.length <= 8, "and not in a hurry");
  assert(bob.links.some(([, link]) => link === "failed"));
  bob.mesh.left("anna");
  const { length } = bob.connections;
  await net.clock.advance(60_000);
  assert.equal(bob.connections.length, length);
});

test("an offer that was refused, and an answer that got lost, are said again in a few seconds, on the same connection", async () => {
  for (const lost of ["offer", "answer"]) {
    const net = new Net();
    const [anna] = await net.call("anna");
    const bob = net.node("bob");
    bob.sends("camera");
    net.loses = ({ description }) => description?.type === lost;
    await bob.enters();
    assert.equal(bob.connection.signalingState, "have-local-offer");
    net.loses = () => false;
    await net.clock.advance(5_000);
    assert.equal(bob.connection.signalingState, "stable");
    assert.deepEqual(anna.sources("bob"), ["camera"]);
    assert.equal(anna.connections.length + bob.connections.length, 2);
    const told = anna.sent.length + bob.sent.length;
    anna.connects();
    bob.connects();
    await net.clock.advance(60_000);
    assert.equal(anna.sent.length + bob.sent.length, told, "and no more than once");
  }
});

test("as long as the other side says something, however slowly, a connection is not begun again", async () => {
  const net = new Net();
  const [anna] = await net.call("anna");
  const bob = net.node("bob");
  bob.sends("camera");
  await bob.enters();
  for (let seconds = 0; seconds < 60; seconds += 10) {
    for (const [node, other] of [[anna, bob], [bob, anna]]) {
      const candidate = { candidate: `${seconds}`, usernameFragment: other.connection.ufrag };
      node.mesh.told("signal", { from: other.me.id, candidate });
    }
    await net.clock.advance(10_000);
  }
  assert.equal(anna.connections.length + bob.connections.length, 2);
  await net.clock.advance(25_000);
  assert(anna.connections.length + bob.connections.length > 2, "silence is another matter");
});

test("a candidate waits for the description that it belongs to", async () => {
  const net = new Net();
  const [anna, bob] = await net.call("anna", "bob");
  const { connection } = anna;
  bob.connection.onicecandidate?.({ candidate: { toJSON: () => ({ candidate: "now", usernameFragment: bob.connection.ufrag }) } });
  anna.mesh.told("signal", { from: "bob", candidate: { candidate: "later", usernameFragment: "of another description" } });
  await idle();
  assert.deepEqual(connection.candidates.map(({ candidate }) => candidate), ["now"]);
});

test("a browser that is busy has every candidate in hand at once, and whatever else is said is heard meanwhile", async () => {
  const net = new Net();
  const [anna, bob] = await net.call("anna", "bob");
  const { connection } = anna;
  const add = connection.addIceCandidate.bind(connection);
  connection.addIceCandidate = async (candidate) => {
    await add(candidate);
    await new Promise(() => {}); // it is not through with it yet
  };
  const usernameFragment = bob.connection.ufrag;
  const numbers = Array.from({ length: 20 }, (_, number) => String(number));
  for (const candidate of numbers) anna.mesh.told("signal", { from: "bob", candidate: { candidate, usernameFragment } });
  bob.sends("screen");
  await idle();
  assert.deepEqual(connection.candidates.map(({ candidate }) => candidate), numbers);
  assert.deepEqual(anna.sources("bob"), ["camera", "microphone", "screen"]);
});

test("candidates that come with an offer are in the browser's hands before anything is limited", async () => {
  const net = new Net();
  const [anna] = await net.call("anna");
  anna.mesh.limit({ people: 2, width: 640, height: 480, frame_rate: 24, bitrate: 600_000 });
  const bob = net.node("bob");
  bob.sends("camera");
  /** @type {(() => void)[]} */
  const held = [];
  net.turn = () => new Promise((resolve) => held.push(resolve));
  await bob.enters();
  const [, offer] = bob.sent[0];
  anna.mesh.told("signal", { from: "bob", ...offer });
  anna.mesh.told("signal", { from: "bob", candidate: { candidate: "first", usernameFragment: bob.connection.ufrag } });
  const { connection } = anna;
  const set = connection.setRemoteDescription.bind(connection);
  connection.setRemoteDescription = async (description) => {
    await set(description);
    for (const { sender } of connection.transceivers) sender.setParameters = () => new Promise(() => {});
  };
  await idle();
  assert.deepEqual(connection.candidates.map(({ candidate }) => candidate), ["first"]);
});

test("a candidate that the browser does not take begins the connection anew", async () => {
  const net = new Net();
  const [anna, bob] = await net.call("anna", "bob");
  const { connection } = anna;
  connection.addIceCandidate = async () => {
    throw new Error("no candidate");
  };
  const usernameFragment = bob.connection.ufrag;
  anna.mesh.told("signal", { from: "bob", candidate: { candidate: "nonsense", usernameFragment } });
  await net.clock.advance(4_000);
  assert.notEqual(anna.connection, connection);
  assert.deepEqual(anna.sources("bob"), ["camera", "microphone"]);
});

test("what leads nowhere is not told", async () => {
  const [, bob] = await new Net().call("anna", "bob");
  const told = bob.sent.length;
  const active = "candidate:888929698 1 tcp 1518214911 192.0.2.2 9 typ host tcptype active generation 0 ufrag aIMq";
  const passive = "candidate:888929698 1 tcp 1518214911 192.0.2.2 4711 typ host tcptype passive generation 0 ufrag aIMq";
  for (const candidate of [active, passive]) bob.connection.onicecandidate?.({ candidate: { candidate, toJSON: () => ({ candidate }) } });
  assert.deepEqual(bob.sent.slice(told), [["anna", { candidate: { candidate: passive } }]]);
});

test("who comes offers without waiting until the browser asks for it; and everything goes by one transport", async () => {
  const net = new Net();
  const [anna] = await net.call("anna");
  const bob = net.node("bob");
  bob.sends("camera");
  net.connected = (connection) => (connection.isNeeded = () => {}); // it is busy, and does not come to asking
  await bob.enters();
  assert.deepEqual(bob.offers, ["anna"]);
  assert.deepEqual(anna.sources("bob"), ["camera"]);
  for (const { connection } of [anna, bob]) assert.equal(connection.config.bundlePolicy, "max-bundle");
});

test("how much of a camera is sent follows what is allowed; a screen has its own measure", async () => {
  const net = new Net();
  const [anna, bob] = await net.call("anna", "bob");
  anna.mesh.limit({ people: 2, width: 640, height: 480, frame_rate: 24, bitrate: 600_000 });
  anna.sends("screen");
  await idle();
  const sent = anna.connection.transceivers
    .filter(({ kind }) => kind === "video")
    .map(({ sender }) => sender.parameters.encodings[0]);
  assert.deepEqual(sent[0], { maxBitrate: 600_000, maxFramerate: 24 });
  assert(sent[1].maxBitrate > 600_000);
  assert.deepEqual(bob.sources("anna"), ["camera", "microphone", "screen"]);
});

test("only the relay, for whoever wants to hide their address", async () => {
  /** @type {any} */
  let config;
  const mesh = new Mesh(
    {
      send: async () => true,
      ask: async () => ({ ok: true, answer: {} }),
      ice: async () => null,
      connect: (given) => /** @type {any} */ (new Connection((config = given))),
      listener: { received: () => {}, linked: () => {}, trouble: () => {} },
      later: () => {},
    },
    { relayOnly: true },
  );
  mesh.entered(entry(participant("me"), [participant("anna")], { ice: { servers: [{ urls: "turn:x" }], ends_at: 1 } }));
  assert.equal(config.iceTransportPolicy, "relay");
  assert.deepEqual(config.iceServers, [{ urls: "turn:x" }]);
});

test("whoever leaves is let go of, and closing lets go of everybody", async () => {
  const net = new Net();
  const [anna, bob, carl] = await net.call("anna", "bob", "carl");
  anna.mesh.left("bob");
  assert.equal(anna.connections[0].connectionState, "closed");
  assert.deepEqual(anna.sources("bob"), []);
  anna.mesh.close();
  assert(anna.connections.every(({ connectionState }) => connectionState === "closed"));
  assert.equal(bob.connections.length + carl.connections.length, 4);
});

/** Numbers from 0 to 1 that are the same each time. @param {number} seed */
function randomFrom(seed) {
  let state = seed * 7_919;
  return () => (state = (state * 1_103_515_245 + 12_345) % 2 ** 31) / 2 ** 31;
}

/** @param {number} count  Of the event loop. */
async function turns(count) {
  for (let turn = 0; turn < count; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}
