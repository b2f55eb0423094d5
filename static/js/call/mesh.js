// The mesh: a peer connection to each of the others, described through the server and carrying media past it.
//
// Who comes offers to everybody who is in, and those who are in only answer, so that no first offer can cross another
// (and what comes from somebody who is not known yet is kept for a moment, because it can overtake the news of them).
// From then on both sides may offer: perfect negotiation, https://www.w3.org/TR/webrtc/#perfect-negotiation-example.
// Nothing here listens to the signalling connection: losing it touches no peer connection.

/** @import { Engine, EngineWorld, Route } from "./engine.js" */
/** @import { Entry, Ice, Participant, Quality, Signal, Source } from "./wire.js" */

import { Peer } from "./peer.js";
import { BUNDLED } from "./rtc.js";

/** How many people who are not known yet are listened to, and how much is kept of each. */
const STRANGERS_KEPT = 16;
const SIGNALS_KEPT = 64;

/** @implements {Engine} */
export class Mesh {
  #world;
  /** @type {Participant | null} */
  #me = null;
  /** @type {RTCConfiguration} */
  #config;
  /** @type {Map<string, Participant>} */
  #known = new Map();
  /** @type {Map<string, Peer>} */
  #peers = new Map();
  /** @type {Map<string, Signal[]>} */
  #early = new Map();
  /** @type {Map<Source, MediaStreamTrack>} */
  #tracks = new Map();
  #mayPublish = false;
  /** @type {Quality | null} */
  #quality = null;
  #over = false;

  /**
   * @param {EngineWorld} world
   * @param {{relayOnly?: boolean}} [wishes]  By the relay alone, the others do not learn this person's address.
   */
  constructor(world, { relayOnly = false } = {}) {
    this.#world = world;
    this.#config = { ...BUNDLED, iceTransportPolicy: relayOnly ? "relay" : "all" };
  }

  /** @param {Entry} entry */
  entered({ participant, participants, ice, grants }) {
    this.#me = participant;
    this.#mayPublish = grants.publish;
    this.#known = new Map(participants.map((other) => [other.id, other]));
    this.relays(ice);
    for (const other of participants) {
      const peer = this.#peers.get(other.id);
      if (peer) peer.cameBack();
      else if (this.#isNeeded(other)) this.#meet(other.id).offer();
      this.#hearEarly(other.id);
    }
  }

  /** @param {Participant} participant */
  joined(participant) {
    this.#known.set(participant.id, participant);
    if (participant.state === "here") this.#peers.get(participant.id)?.sayAgain();
    this.#hearEarly(participant.id);
  }

  /** @param {string} id */
  left(id) {
    this.#known.delete(id);
    this.#early.delete(id);
    this.#peers.get(id)?.close();
    this.#peers.delete(id);
  }

  /**
   * @param {string} event
   * @param {any} told
   */
  told(event, told) {
    if (event === "signal" && !this.#over) this.#signalled(told);
  }

  /** @param {Signal} signal */
  #signalled(signal) {
    const { from } = signal;
    if (!this.#known.has(from) && !this.#peers.has(from)) {
      this.#keep(signal);
      return;
    }
    const known = this.#peers.get(from);
    if (known && !known.isAnotherSession(signal)) known.take(signal);
    else if (signal.description?.type === "offer") this.#meetAnew(from, signal);
  }

  /**
   * @param {Source} source
   * @param {MediaStreamTrack | null} track
   */
  publish(source, track) {
    if (track) this.#tracks.set(source, track);
    else this.#tracks.delete(source);
    for (const peer of this.#peers.values()) peer.publish(source, track);
  }

  /** @param {Ice} ice */
  relays({ servers }) {
    this.#config = { ...this.#config, iceServers: servers };
    for (const peer of this.#peers.values()) peer.configure(this.#config);
  }

  /** @param {Quality} quality */
  limit(quality) {
    this.#quality = quality;
    for (const peer of this.#peers.values()) peer.limit(quality);
  }

  /** @returns {Promise<[string, number][]>} */
  levels() {
    return Promise.all([...this.#peers].map(async ([id, peer]) => [id, await peer.level()]));
  }

  /** @returns {Promise<Route[]>} */
  async routes() {
    const routes = await Promise.all([...this.#peers.values()].map((peer) => peer.route()));
    return routes.flatMap((route) => route ?? []);
  }

  close() {
    this.#over = true;
    for (const peer of this.#peers.values()) peer.close();
    this.#peers.clear();
    this.#early.clear();
  }

  /**
   * Between two who both only watch there is nothing to carry.
   *
   * @param {Participant} other
   */
  #isNeeded({ role }) {
    return this.#mayPublish || role !== "subscriber";
  }

  /** @param {string} id */
  #meet(id) {
    const me = this.#me?.id ?? "";
    if (!this.#peers.has(id)) this.#world.listener.linked(id, "connecting");
    const peer = new Peer({ id, polite: me > id }, this.#world, {
      renew: () => {
        if (this.#peers.get(id) !== peer) return;
        peer.close();
        this.#meet(id).offer();
      },
    });
    this.#peers.set(id, peer);
    peer.open(this.#config, this.#tracks, this.#quality);
    return peer;
  }

  /**
   * The other side began a new peer connection; an old one leads nowhere any more, nor does an offer to it. (Two new ones
   * that meet are an ordinary collision, for the peer to settle.)
   *
   * @param {string} id
   * @param {Signal} offer
   */
  #meetAnew(id, offer) {
    this.#peers.get(id)?.close();
    this.#meet(id).take(offer);
  }

  /** @param {Signal} signal */
  #keep(signal) {
    const kept = this.#early.get(signal.from) ?? [];
    if (kept.length === 0 && this.#early.size >= STRANGERS_KEPT) return;
    if (kept.length < SIGNALS_KEPT) kept.push(signal);
    this.#early.set(signal.from, kept);
  }

  /** @param {string} id */
  #hearEarly(id) {
    const kept = this.#early.get(id) ?? [];
    this.#early.delete(id);
    for (const signal of kept) this.#signalled(signal);
  }
}
