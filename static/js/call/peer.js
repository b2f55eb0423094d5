// One peer connection of the mesh: negotiation, tracks by their source, and mending what broke.
//
// Everything that touches the description happens in one queue, so the only collision there can be is an offer that
// meets an offer of ours under way. Then the one of whoever is polite is given up. It never has to be taken back: on a
// connection that carries something already, whoever is polite applies an offer only when its answer is there. So an
// offer that is given up leaves nothing behind, in a browser that forgets at a rollback where pictures go (Chromium), too.
//
// The transceiver of a source is made once and kept: a source that ends is sent as nothing, and one that begins again
// needs no new line in the description.

/** @import { EngineWorld, Route } from "./engine.js" */
/** @import { Quality, Signal, Source, Track } from "./wire.js" */

import { SCREEN_BITRATE } from "./engine.js";
import { Loudness, isWorthTelling, kindOf, limitTo, midsOf, originOf, routeOf, standOf, troubleOf } from "./rtc.js";

/** How long the other side of a failed connection may take to mend it, before this one tries as well. */
const POLITE_WAIT_MS = 3_000;
/** How long a restart may take before everything is set up anew. */
const RESTART_WITHIN_MS = 8_000;
/** How long an answer may take, before the offer is said again: either of them may have been refused, or lost. */
const ANSWER_WITHIN_MS = 5_000;
/** How long a new connection may take, before it is said that there is none. */
const SLOW_AFTER_MS = 12_000;
/** How long a new connection may show no sign of coming about, looked at so often, before another one is tried. As long as
 * there are signs it is only slow, and would be no faster if it had to begin again. */
const SILENT_WITHIN_MS = 15_000;
const LOOK_EVERY_MS = 2_500;
const CANDIDATES_KEPT = 100;

const SHARED = /** @type {const} */ (["microphone", "camera"]);
/** @type {readonly Source[]} */
const SCREENS = ["screen", "screen-audio"];

export class Peer {
  #id;
  #world;
  #renew;
  /** @type {RTCPeerConnection | null} */
  #connection = null;
  /** @type {Promise<void>} */
  #turn = Promise.resolve();
  /** @type {Map<Source, RTCRtpTransceiver>} By what we send on it. */
  #senders = new Map();
  /** @type {ReadonlyMap<Source, MediaStreamTrack>} */
  #tracks = new Map();
  /** @type {Map<string, Source>} What the other side sends, by the mid of its line. */
  #theirs = new Map();
  /** @type {Map<Source, MediaStreamTrack>} */
  #received = new Map();
  #loudness = new Loudness();
  /** @type {RTCIceCandidateInit[]} Which came before the description that they belong to. */
  #candidates = [];
  /** The newest description of the other side that was taken in. */
  #origin = originOf("");
  /** An offer that was made and is not applied before its answer. @type {RTCSessionDescriptionInit | null} */
  #proposal = null;
  /** @type {Quality | null} */
  #quality = null;
  /** Counts our descriptions; the newest of them may not have arrived. */
  #descriptions = 0;
  #unsent = false;
  /** Counts what shows that it is coming about: what the other side says, and states of the connection. */
  #signs = 0;
  /** Counts what happened to the connection, so that a timer knows whether it is about the present state. */
  #turns = 0;

  /**
   * @param {{id: string, polite: boolean}} who
   * @param {EngineWorld} world
   * @param {{renew: () => void}} wishes
   */
  constructor({ id, polite }, world, { renew }) {
    this.#id = id;
    this.polite = polite;
    this.#world = world;
    this.#renew = renew;
  }

  get isOffering() {
    return this.#proposal !== null || this.#connection?.signalingState === "have-local-offer";
  }

  /**
   * Whether a description is of another peer connection than the one that we are connected with (RFC 8866, 5.2: the
   * origin's session id names it).
   *
   * @param {Signal} signal
   */
  isAnotherSession({ description }) {
    return description?.type === "offer" && this.#knowsAnother(originOf(description.sdp));
  }

  /**
   * @param {RTCConfiguration} config
   * @param {ReadonlyMap<Source, MediaStreamTrack>} tracks  Alive: it changes as sources come and go.
   * @param {Quality | null} quality
   */
  open(config, tracks, quality) {
    const connection = this.#world.connect(config);
    this.#connection = connection;
    this.#tracks = tracks;
    this.#quality = quality;
    connection.onnegotiationneeded = () => this.#do(() => this.#makeOffer());
    connection.onicecandidate = ({ candidate }) => {
      if (candidate && isWorthTelling(candidate)) void this.#world.send(this.#id, { candidate: candidate.toJSON() });
    };
    connection.onicecandidateerror = (error) => this.#relayFails(error);
    connection.onconnectionstatechange = () => this.#changed();
    const turn = this.#turns;
    this.#world.later(() => {
      if (turn === this.#turns && this.#connection) this.#world.listener.linked(this.#id, "failed");
    }, SLOW_AFTER_MS);
    this.#giveTime();
  }

  /** Describe what there is to send and to hear, and offer it: the browser would ask for that, but only in a while. */
  offer() {
    for (const source of SHARED) this.#add(source, this.#directionOf(source));
    this.#addScreens();
    this.#do(() => this.#makeOffer());
  }

  /** @param {Signal} signal */
  take(signal) {
    this.#signs += 1;
    this.#do(async () => {
      if (signal.description) await this.#describe(signal.description, signal.tracks ?? []);
      if (signal.candidate) this.#addCandidate(signal.candidate);
    });
  }

  /**
   * @param {Source} source
   * @param {MediaStreamTrack | null} track
   */
  publish(source, track) {
    this.#do(async () => {
      const transceiver = this.#senders.get(source);
      if (transceiver) {
        await transceiver.sender.replaceTrack(track);
        if (SCREENS.includes(source)) transceiver.direction = track ? "sendonly" : "inactive";
        else if (track) transceiver.direction = "sendrecv";
        await this.#applyLimits();
      } else if (SCREENS.includes(source)) {
        this.#addScreens();
      }
    });
  }

  /** @param {RTCConfiguration} config */
  configure(config) {
    this.#connection?.setConfiguration(config);
  }

  /** @param {Quality} quality */
  limit(quality) {
    this.#quality = quality;
    this.#do(() => this.#applyLimits());
  }

  /** This side has been out of reach of the server. */
  cameBack() {
    if (this.#unsent || this.isOffering) this.sayAgain();
    else if (this.#connection?.connectionState !== "connected") this.#renew();
  }

  /** The other side has been out of reach: an offer, or its answer, may have got lost. */
  sayAgain() {
    if (this.#unsent || this.isOffering) this.#do(() => this.#sendNewest());
  }

  /** How loud the microphone is, from 0 to 1. */
  level() {
    return this.#loudness.of(this.#connection, this.#received.get("microphone"));
  }

  /** @returns {Promise<Route | null>} */
  async route() {
    return this.#connection && routeOf(this.#id, this.#connection);
  }

  close() {
    const connection = this.#connection;
    this.#connection = null;
    this.#turns += 1;
    if (!connection) return;
    connection.onnegotiationneeded = connection.onicecandidate = connection.onicecandidateerror = null;
    connection.onconnectionstatechange = null;
    connection.close();
    for (const source of this.#received.keys()) this.#world.listener.received(this.#id, source, null);
  }

  /**
   * One thing after another; a step of a connection that is closed meanwhile is nobody's business.
   *
   * @param {() => void | Promise<void>} step
   */
  #do(step) {
    const connection = this.#connection;
    this.#turn = this.#turn.then(async () => {
      if (connection === null || this.#connection !== connection) return;
      try {
        await step();
      } catch (error) {
        this.#broke(connection, error);
      }
    });
  }

  /**
   * @param {RTCPeerConnection} connection
   * @param {unknown} error
   */
  #broke(connection, error) {
    if (this.#connection !== connection) return;
    console.warn(`The connection with ${this.#id} is set up anew.`, error);
    this.#renewSoon();
  }

  async #makeOffer() {
    const connection = this.#connection;
    // When what is under way is settled, the browser asks once more.
    if (connection?.signalingState !== "stable" || this.#proposal) return;
    const carriesSomething = this.#origin.session !== "";
    if (this.polite && carriesSomething) this.#proposal = await connection.createOffer();
    else await connection.setLocalDescription();
    this.#sendNewest();
  }

  #sendNewest() {
    this.#send(this.#proposal ?? this.#connection?.localDescription);
  }

  /** @param {RTCSessionDescriptionInit | null | undefined} description */
  #send(description) {
    if (!description) return;
    const { type, sdp } = description;
    const tracks = this.#tracksIn(sdp);
    this.#descriptions += 1;
    this.#unsent = true;
    const number = this.#descriptions;
    // Not awaited: what the other side says meanwhile has to be heard.
    void this.#world.send(this.#id, { description: { type, sdp }, tracks }).then((arrived) => {
      if (arrived && number === this.#descriptions) this.#unsent = false;
    });
    if (type !== "offer") return;
    this.#world.later(() => {
      if (number === this.#descriptions && this.isOffering) this.sayAgain();
    }, ANSWER_WITHIN_MS);
  }

  /**
   * Which of our sources are on which lines. A line that is only proposed has no name yet but in the description; new
   * ones stand there in the order in which they were made (RFC 8829, 5.2.2).
   *
   * @param {string} [sdp]
   * @returns {Track[]}
   */
  #tracksIn(sdp) {
    const transceivers = this.#connection?.getTransceivers() ?? [];
    const named = new Set(transceivers.map(({ mid }) => mid));
    const fresh = midsOf(sdp).filter((mid) => !named.has(mid));
    const mids = new Map(transceivers.map((transceiver) => [transceiver, transceiver.mid ?? fresh.shift() ?? null]));
    return [...this.#senders].flatMap(([source, transceiver]) => {
      const mid = mids.get(transceiver) ?? null;
      return mid === null ? [] : [{ mid, source }];
    });
  }

  /**
   * @param {RTCSessionDescriptionInit} description
   * @param {Track[]} tracks
   */
  async #describe(description, tracks) {
    const connection = /** @type {RTCPeerConnection} */ (this.#connection);
    const stable = connection.signalingState === "stable";
    if (description.type === "offer" && !stable && !this.polite) return; // ours holds
    if (description.type === "answer" && !this.isOffering) return; // to an offer that is over
    const origin = originOf(description.sdp);
    if (this.#knowsAnother(origin)) {
      // The other side has lost the connection that ours was made with.
      this.#renewSoon();
      return;
    }
    if (this.#knows(origin)) {
      if (description.type === "offer" && origin.version === this.#origin.version) this.#answerAgain();
      return; // said twice: it answers an offer that is over, or is one
    }
    const proposal = this.#proposal;
    this.#proposal = null;
    if (proposal && description.type === "answer") await connection.setLocalDescription(proposal);
    await connection.setRemoteDescription(description);
    this.#origin = origin;
    this.#theirs = new Map(tracks.map(({ mid, source }) => [mid, source]));
    if (description.type === "offer") {
      await this.#adopt();
      await connection.setLocalDescription();
      this.#sendNewest();
      this.#addScreens();
    } else {
      this.#unsent = false;
    }
    for (const candidate of this.#candidates.splice(0)) this.#addCandidate(candidate);
    this.#compare();
    this.#do(() => this.#applyLimits()); // after the candidates that have come meanwhile: those decide when it begins
  }

  /** @param {ReturnType<typeof originOf>} origin */
  #knowsAnother({ session }) {
    return this.#origin.session !== "" && session !== this.#origin.session;
  }

  /** @param {ReturnType<typeof originOf>} origin */
  #knows({ session, version }) {
    return session !== "" && session === this.#origin.session && version <= this.#origin.version;
  }

  /** The other side has not heard our answer, or asked before it came. Another answer would look like one to its next offer. */
  #answerAgain() {
    this.#send(this.#connection?.localDescription);
    if (this.#proposal) this.#send(this.#proposal);
  }

  /** Send on the lines that the other side has offered. */
  async #adopt() {
    const replacing = [];
    for (const transceiver of this.#connection?.getTransceivers() ?? []) {
      const source = SHARED.find((shared) => shared === this.#theirs.get(transceiver.mid ?? ""));
      if (!source || this.#senders.has(source)) continue;
      this.#senders.set(source, transceiver);
      transceiver.direction = this.#directionOf(source);
      replacing.push(transceiver.sender.replaceTrack(this.#tracks.get(source) ?? null));
    }
    await Promise.all(replacing);
  }

  /** Whoever sends nothing yet says so: a line on which something is sent takes one of the call's places.
   * @param {Source} source
   */
  #directionOf(source) {
    return this.#tracks.has(source) ? "sendrecv" : "recvonly";
  }

  #addScreens() {
    for (const source of SCREENS) {
      if (this.#tracks.has(source) && !this.#senders.has(source)) this.#add(source, "sendonly");
    }
  }

  /**
   * @param {Source} source
   * @param {RTCRtpTransceiverDirection} direction
   */
  #add(source, direction) {
    const track = this.#tracks.get(source);
    const connection = /** @type {RTCPeerConnection} */ (this.#connection);
    this.#senders.set(source, connection.addTransceiver(track ?? kindOf(source), { direction }));
  }

  /**
   * A candidate belongs to the description with the same user name; one that came early waits for it, and one that
   * came late is worth nothing.
   *
   * None is waited for: the browser takes one after another by itself (W3C WebRTC, 4.4.1.2), and while it is busy each
   * takes long, so that the one that leads somewhere would come much too late.
   *
   * @param {RTCIceCandidateInit} candidate
   */
  #addCandidate(candidate) {
    const connection = /** @type {RTCPeerConnection} */ (this.#connection);
    const described = connection.remoteDescription?.sdp ?? "";
    const { usernameFragment } = candidate;
    const belongs = described !== "" && (!usernameFragment || described.includes(`a=ice-ufrag:${usernameFragment}\r\n`));
    if (belongs) {
      connection.addIceCandidate(candidate).catch((error) => this.#broke(connection, error));
      return;
    }
    this.#candidates.push(candidate);
    if (this.#candidates.length > CANDIDATES_KEPT) this.#candidates.shift();
  }

  /** Tell what is received now that was not before, and the other way round. */
  #compare() {
    const { listener } = this.#world;
    const now = new Map();
    for (const { mid, currentDirection, receiver } of this.#connection?.getTransceivers() ?? []) {
      const source = this.#theirs.get(mid ?? "");
      if (source && currentDirection?.includes("recv")) now.set(source, receiver.track);
    }
    for (const source of this.#received.keys()) {
      if (!now.has(source)) listener.received(this.#id, source, null);
    }
    for (const [source, track] of now) {
      if (this.#received.get(source) !== track) listener.received(this.#id, source, track);
    }
    this.#received = now;
  }

  async #applyLimits() {
    await limitTo(this.#senders.get("camera"), this.#quality?.bitrate, this.#quality?.frame_rate);
    await limitTo(this.#senders.get("screen"), SCREEN_BITRATE);
  }

  #changed() {
    const { listener } = this.#world;
    const state = this.#connection?.connectionState;
    this.#signs += 1;
    if (state === "connected") {
      this.#turns += 1;
      listener.linked(this.#id, "connected");
    }
    if (state === "disconnected") listener.linked(this.#id, "reconnecting");
    if (state === "failed") {
      this.#turns += 1;
      listener.linked(this.#id, "failed");
      this.#mend();
    }
  }

  /** One side restarts; the other gives it time. If that does not help, everything begins anew. */
  #mend() {
    const turn = this.#turns;
    this.#unlessChanged(0, async () => {
      const ice = await this.#world.ice();
      if (turn !== this.#turns || !this.#connection) return;
      if (ice) this.#connection.setConfiguration({ ...this.#connection.getConfiguration(), iceServers: ice.servers });
      this.#connection.restartIce();
    });
    this.#unlessChanged(RESTART_WITHIN_MS, () => this.#renew());
  }

  /** Begin anew when nothing comes of this connection. */
  #giveTime(ms = SILENT_WITHIN_MS) {
    const turn = this.#turns;
    const signs = this.#signs;
    this.#world.later(() => {
      if (turn !== this.#turns) return;
      if (signs !== this.#signs) this.#giveTime();
      else if (ms > LOOK_EVERY_MS) this.#giveTime(ms - LOOK_EVERY_MS);
      else this.#unlessChanged(0, () => this.#giveUp());
    }, LOOK_EVERY_MS);
  }

  #giveUp() {
    const connection = /** @type {RTCPeerConnection} */ (this.#connection);
    console.info(`Nothing comes of the connection with ${this.#id}: ${standOf(connection)}. It is begun anew.`);
    this.#renew();
  }

  #renewSoon() {
    this.#turns += 1;
    this.#unlessChanged(0, () => this.#renew());
  }

  /**
   * Act in a while, if the connection is still in the state that it is in now. Whoever is polite lets the other go first.
   *
   * @param {number} ms
   * @param {() => void} act
   */
  #unlessChanged(ms, act) {
    const turn = this.#turns;
    this.#world.later(() => {
      if (turn === this.#turns && this.#connection !== null) act();
    }, ms + (this.polite ? POLITE_WAIT_MS : 0));
  }

  /** @param {RTCPeerConnectionIceErrorEvent} error */
  #relayFails(error) {
    const trouble = troubleOf(error);
    if (trouble) this.#world.listener.trouble(trouble);
  }
}
