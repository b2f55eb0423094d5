// Through the server: one peer connection up, for all that one sends, and one down, for all that one receives.
//
// Each has a queue of its own. Up, this side offers and the server answers; down, the server offers and this side answers,
// in order. Lines are known by their mid, up as down. When what goes through the server has failed, both are thrown away
// and begun anew; that is said by the server, and never guessed here.

/** @import { Link } from "./call.js" */
/** @import { Engine, EngineWorld, Route } from "./engine.js" */
/** @import { Entry, Ice, Offered, Participant, Quality, Source } from "./wire.js" */

import { SCREEN_BITRATE } from "./engine.js";
import { limitTo, routeOf } from "./rtc.js";

/** @implements {Engine} */
export class Sfu {
  #world;
  /** @type {RTCConfiguration} */
  #config;
  /** @type {RTCPeerConnection | null} */
  #up = null;
  /** @type {RTCPeerConnection | null} */
  #down = null;
  /** @type {Promise<void>} */
  #upTurn = Promise.resolve();
  /** @type {Promise<void>} */
  #downTurn = Promise.resolve();
  /** @type {Map<Source, RTCRtpTransceiver>} */
  #senders = new Map();
  /** @type {Map<Source, MediaStreamTrack>} */
  #tracks = new Map();
  /** @type {Map<string, {participant: string, source: Source, track: MediaStreamTrack}>} By who and what. */
  #received = new Map();
  /** @type {Set<string>} */
  #people = new Set();
  /** @type {Quality | null} */
  #quality = null;
  #lost = false;
  /** Counts beginnings, so that a step knows whether it is about the present connections. */
  #round = 0;

  /**
   * @param {EngineWorld} world
   * @param {{relayOnly?: boolean}} [wishes]
   */
  constructor(world, { relayOnly = false } = {}) {
    this.#world = world;
    this.#config = { iceTransportPolicy: relayOnly ? "relay" : "all" };
  }

  /** @param {Entry} entry */
  entered({ participants, ice }) {
    this.#people = new Set(participants.map(({ id }) => id));
    this.relays(ice);
    // Whoever comes back finds everything as it was, or is told that it is not.
    if (this.#round === 0) this.#begin();
    else this.#tellLinks();
  }

  /** @param {Participant} participant */
  joined({ id }) {
    if (this.#people.has(id)) return;
    this.#people.add(id);
    this.#tellLinks();
  }

  /** @param {string} id */
  left(id) {
    this.#people.delete(id);
  }

  /**
   * @param {string} event
   * @param {any} told
   */
  told(event, told) {
    if (event === "offer") this.#offered(told);
    if (event !== "media") return;
    this.#lost = told.state === "lost";
    if (told.state === "reset") this.#begin();
    this.#tellLinks();
  }

  /**
   * @param {Source} source
   * @param {MediaStreamTrack | null} track
   */
  publish(source, track) {
    if (track) this.#tracks.set(source, track);
    else this.#tracks.delete(source);
    this.#doUp(async (up) => {
      const transceiver = this.#senders.get(source);
      const direction = track ? "sendonly" : "inactive";
      if (transceiver) {
        await transceiver.sender.replaceTrack(track);
        // A camera that is off is a line on which nothing comes for a while; a screen that ended is no line at all.
        if (source === "microphone" || source === "camera" || transceiver.direction === direction) return;
        transceiver.direction = direction;
      } else if (track) {
        this.#senders.set(source, up.addTransceiver(track, { direction }));
      } else {
        return;
      }
      await this.#offer(up);
    });
  }

  /** @param {Ice} ice */
  relays({ servers }) {
    this.#config = { ...this.#config, iceServers: servers };
    this.#up?.setConfiguration(this.#config);
    this.#down?.setConfiguration(this.#config);
  }

  /** @param {Quality} quality */
  limit(quality) {
    this.#quality = quality;
    this.#doUp(() => this.#applyLimits());
  }

  /** @returns {Iterable<[string, number]>} */
  *levels() {
    const receivers = this.#down?.getReceivers() ?? [];
    for (const { participant, source, track } of this.#received.values()) {
      if (source !== "microphone") continue;
      const [newest] = receivers.find((receiver) => receiver.track === track)?.getSynchronizationSources() ?? [];
      if (newest?.audioLevel) yield [participant, newest.audioLevel];
    }
  }

  /** @returns {Promise<Route[]>} */
  async routes() {
    const routes = await Promise.all([this.#up, this.#down].map((connection) => connection && routeOf("server", connection)));
    return routes.filter((route) => route !== null).slice(0, 1);
  }

  close() {
    this.#round += 1;
    this.#throwAway();
  }

  #begin() {
    this.#throwAway();
    this.#round += 1;
    this.#lost = false;
    const up = this.#world.connect(this.#config);
    this.#up = up;
    up.onconnectionstatechange = () => {
      if (up.connectionState === "failed") this.#restartUp();
    };
    up.onicecandidateerror = (error) => this.#relayFails(error);
    this.#tellLinks();
    this.#doUp(async () => {
      await this.#world.ask("ready", {});
      for (const [source, track] of this.#tracks) {
        this.#senders.set(source, up.addTransceiver(track, { direction: "sendonly" }));
      }
      if (this.#senders.size > 0) await this.#offer(up);
    });
  }

  #throwAway() {
    for (const connection of [this.#up, this.#down]) {
      if (!connection) continue;
      connection.onconnectionstatechange = connection.onicecandidate = connection.onicecandidateerror = null;
      connection.close();
    }
    this.#up = this.#down = null;
    this.#senders.clear();
    for (const { participant, source } of this.#received.values()) {
      this.#world.listener.received(participant, source, null);
    }
    this.#received.clear();
  }

  /**
   * Offer all that is sent. The server knows the connection from its answer on, so candidates wait for that.
   *
   * @param {RTCPeerConnection} up
   */
  async #offer(up) {
    /** @type {(RTCIceCandidate | null)[]} */
    const early = [];
    up.onicecandidate = ({ candidate }) => early.push(candidate);
    await up.setLocalDescription();
    const tracks = [...this.#senders].flatMap(([source, { mid, direction }]) =>
      mid !== null && direction === "sendonly" ? [{ mid, source }] : [],
    );
    const result = await this.#world.ask("publish", { offer: plain(up.localDescription), tracks });
    if (this.#up !== up) return;
    if (!result.ok) throw new Error(result.refusal.message);
    await up.setRemoteDescription(result.answer.answer);
    const tell = (/** @type {RTCIceCandidate | null} */ candidate) =>
      void this.#world.ask("candidate", { pc: "up", candidate: candidate?.toJSON() ?? null });
    up.onicecandidate = ({ candidate }) => tell(candidate);
    for (const candidate of early) tell(candidate);
    await this.#applyLimits();
  }

  #restartUp() {
    this.#doUp(async (up) => {
      const ice = await this.#world.ice();
      if (ice) this.relays(ice);
      up.restartIce();
      await this.#offer(up);
    });
  }

  /** @param {Offered} offered */
  #offered({ seq, offer, tracks }) {
    const round = this.#round;
    this.#downTurn = this.#downTurn.then(async () => {
      if (round !== this.#round) return;
      const down = this.#down ?? this.#openDown();
      await down.setRemoteDescription(offer);
      await down.setLocalDescription();
      if (round !== this.#round) return;
      this.#compare(down, tracks);
      await this.#world.ask("ready", { seq, answer: plain(down.localDescription) });
    });
    this.#downTurn = this.#downTurn.catch((error) => {
      console.warn("What the server offered could not be answered.", error);
      if (round === this.#round) void this.#world.ask("restart", {});
    });
  }

  #openDown() {
    const down = this.#world.connect(this.#config);
    this.#down = down;
    down.onicecandidate = ({ candidate }) =>
      void this.#world.ask("candidate", { pc: "down", candidate: candidate?.toJSON() ?? null });
    down.onicecandidateerror = (error) => this.#relayFails(error);
    down.onconnectionstatechange = () => {
      this.#tellLinks();
      if (down.connectionState === "failed") void this.#world.ask("restart", {});
    };
    return down;
  }

  /**
   * @param {RTCPeerConnection} down
   * @param {Offered["tracks"]} tracks
   */
  #compare(down, tracks) {
    const { listener } = this.#world;
    const now = new Map();
    const lines = new Map(down.getTransceivers().map((transceiver) => [transceiver.mid, transceiver]));
    for (const { mid, participant, source } of tracks) {
      const track = lines.get(mid)?.receiver.track;
      if (track) now.set(`${participant}/${source}`, { participant, source, track });
    }
    for (const [key, { participant, source }] of this.#received) {
      if (!now.has(key)) listener.received(participant, source, null);
    }
    for (const [key, { participant, source, track }] of now) {
      if (this.#received.get(key)?.track !== track) listener.received(participant, source, track);
    }
    this.#received = now;
  }

  async #applyLimits() {
    await limitTo(this.#senders.get("camera"), this.#quality?.bitrate, this.#quality?.frame_rate);
    await limitTo(this.#senders.get("screen"), SCREEN_BITRATE);
  }

  /** All others come by one connection, and share its fate. */
  #tellLinks() {
    /** @type {Partial<Record<RTCPeerConnectionState, Link>>} */
    const links = { connected: "connected", disconnected: "reconnecting", failed: "failed" };
    const link = this.#lost ? "reconnecting" : this.#down ? (links[this.#down.connectionState] ?? "connecting") : "connected";
    for (const id of this.#people) this.#world.listener.linked(id, link);
  }

  /**
   * @param {(up: RTCPeerConnection) => void | Promise<void>} step
   */
  #doUp(step) {
    const round = this.#round;
    this.#upTurn = this.#upTurn.then(async () => {
      const up = this.#up;
      if (!up || round !== this.#round) return;
      try {
        await step(up);
      } catch (error) {
        console.warn("What this page sends did not get through.", error);
      }
    });
  }

  /** @param {RTCPeerConnectionIceErrorEvent} error */
  #relayFails({ errorCode, url }) {
    if (!url?.startsWith("turn")) return;
    this.#world.listener.trouble(errorCode === 701 ? "relay-unreachable" : "relay-refused");
  }
}

/** @param {RTCSessionDescription | null} description */
const plain = (description) => ({ type: description?.type, sdp: description?.sdp });

