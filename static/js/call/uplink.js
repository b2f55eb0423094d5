// What this page sends through the server: one connection, described anew as sources come and go.
//
// The line of a source is made once and kept. A camera or a microphone that is off is sent as nothing; a screen that is
// over has its line said to be inactive, never stopped: a browser gives a stopped line to another source, in an order in
// which Janus does not answer. A camera is described in two sizes from the beginning, since a line cannot become so
// later; the small one is encoded only where enough people are there to want it.

/** @import { Result } from "../protocol.js" */
/** @import { EngineWorld } from "./engine.js" */
/** @import { Wishes } from "./leg.js" */
/** @import { Quality, Source, Track } from "./wire.js" */

import { SCREEN_BITRATE } from "./engine.js";
import { Leg } from "./leg.js";

/** The two sizes of a camera, from high to low: in another order Janus reads them upside down. */
const HIGH = "h";
const LOW = "l";
/** A side of the small picture is a half of the large one's, and so its bits are a quarter. */
const LOW_SCALE = 2;

export class Uplink {
  #world;
  #tracks;
  #leg;
  /** @type {Map<Source, RTCRtpTransceiver>} */
  #senders = new Map();
  /** @type {Quality | null} */
  #quality;
  #twoSizes;
  #wishes;

  /**
   * @param {EngineWorld} world
   * @param {RTCConfiguration} config
   * @param {object} what
   * @param {ReadonlyMap<Source, MediaStreamTrack>} what.tracks  Alive: it changes as sources come and go.
   * @param {Quality | null} what.quality
   * @param {boolean} what.twoSizes
   * @param {Pick<Wishes, "broken" | "changed">} wishes
   */
  constructor(world, config, { tracks, quality, twoSizes }, wishes) {
    this.#world = world;
    this.#tracks = tracks;
    this.#quality = quality;
    this.#twoSizes = twoSizes;
    this.#wishes = wishes;
    this.#leg = new Leg("up", world, config, {
      changed: wishes.changed,
      broken: wishes.broken,
      restart: () => this.#leg.connection.restartIce(),
    });
    this.#leg.connection.onnegotiationneeded = () => this.#leg.do(() => this.#offer());
    this.update();
  }

  /** Send what there is to send now. */
  update() {
    this.#leg.do(async () => {
      const known = [...this.#senders];
      for (const [source, track] of this.#tracks) if (!this.#senders.has(source)) this.#add(source, track);
      for (const [source, transceiver] of known) {
        const track = this.#tracks.get(source) ?? null;
        await transceiver.sender.replaceTrack(track);
        if (track) transceiver.direction = "sendonly";
        else if (source === "screen" || source === "screen-audio") transceiver.direction = "inactive";
      }
    });
  }

  /**
   * @param {Quality | null} quality
   * @param {boolean} twoSizes
   */
  limit(quality, twoSizes) {
    this.#quality = quality;
    this.#twoSizes = twoSizes;
    this.#leg.do(() => this.#applyLimits());
  }

  /** @param {RTCConfiguration} config */
  configure(config) {
    this.#leg.connection.setConfiguration(config);
  }

  get way() {
    return this.#leg.way;
  }

  mend() {
    this.#leg.mend();
  }

  route() {
    return this.#leg.route();
  }

  close() {
    this.#leg.close();
  }

  /**
   * @param {Source} source
   * @param {MediaStreamTrack} track
   */
  #add(source, track) {
    const sendEncodings = this.#encodings(source);
    const init = /** @type {RTCRtpTransceiverInit} */ ({ direction: "sendonly", ...(sendEncodings && { sendEncodings }) });
    this.#senders.set(source, this.#leg.connection.addTransceiver(track, init));
  }

  /**
   * @param {Source} source
   * @returns {RTCRtpEncodingParameters[] | undefined}
   */
  #encodings(source) {
    if (source === "screen") return [{ maxBitrate: SCREEN_BITRATE }];
    if (source !== "camera") return undefined;
    const { bitrate, frame_rate } = this.#quality ?? {};
    const rate = frame_rate !== undefined && { maxFramerate: frame_rate };
    return [
      { rid: HIGH, active: true, ...(bitrate !== undefined && { maxBitrate: bitrate }), ...rate },
      {
        rid: LOW,
        active: this.#twoSizes,
        scaleResolutionDownBy: LOW_SCALE,
        ...(bitrate !== undefined && { maxBitrate: Math.round(bitrate / LOW_SCALE ** 2) }),
        ...rate,
      },
    ];
  }

  /** One negotiation at a time; when it is over, the browser asks for another one if something has changed meanwhile. */
  async #offer() {
    const { connection } = this.#leg;
    if (connection.signalingState !== "stable") return;
    this.#leg.holdCandidates();
    await connection.setLocalDescription();
    /** @type {Track[]} */
    const tracks = [...this.#senders].flatMap(([source, { mid, direction }]) =>
      mid !== null && direction === "sendonly" ? [{ mid, source }] : [],
    );
    const { type, sdp } = /** @type {RTCSessionDescription} */ (connection.localDescription);
    /** @type {Result<{answer: RTCSessionDescriptionInit}>} */
    const result = await this.#world.ask("publish", { offer: { type, sdp }, tracks });
    if (!result.ok) {
      // Whether the server has heard it is not known, so it is not said again on this connection.
      console.info(`What this page sends is offered anew: ${result.refusal.message}`);
      this.#wishes.broken();
      return;
    }
    await connection.setRemoteDescription(result.answer.answer);
    this.#leg.releaseCandidates();
    await this.#applyLimits();
  }

  async #applyLimits() {
    const sender = this.#senders.get("camera")?.sender;
    const wanted = this.#encodings("camera") ?? [];
    const parameters = sender?.getParameters();
    let changed = false;
    for (const encoding of parameters?.encodings ?? []) {
      const limits = wanted.find(({ rid }) => rid === encoding.rid) ?? {};
      for (const key of /** @type {const} */ (["active", "maxBitrate", "maxFramerate"])) {
        if (limits[key] === undefined || encoding[key] === limits[key]) continue;
        Object.assign(encoding, { [key]: limits[key] });
        changed = true;
      }
    }
    if (sender && parameters && changed) await sender.setParameters(parameters);
  }
}
