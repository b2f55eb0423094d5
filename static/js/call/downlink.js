// What this page receives through the server: one connection, on which the server offers and this page answers, one
// offer after the other. Whose each line is, the offer says by the line's mid; a line that nobody needs any more is kept
// for somebody else.

/** @import { Link } from "./call.js" */
/** @import { EngineWorld } from "./engine.js" */
/** @import { Line, Offered, Source } from "./wire.js" */

import { Loudness, originOf } from "./rtc.js";
import { Leg } from "./leg.js";

/** Refusals of an answer after which another offer, or another beginning, comes by itself. */
const OVERTAKEN = new Set(["conflict", "offline", "timeout", "unavailable"]);
/** Until an answer is said again of which the server only says that it came too fast. */
const AGAIN_MS = 1_000;

/** @typedef {{id: string, source: Source, track: MediaStreamTrack}} Received */

export class Downlink {
  #world;
  #config;
  #wishes;
  /** @type {Leg | null} There is none as long as there is nothing to receive. */
  #leg = null;
  #session = "";
  /** @type {ReadonlyMap<string, Line>} By their mids. */
  #lines = new Map();
  #loudness = new Loudness();
  /** @type {Map<string, Received>} By whose it is and of which source. */
  #received = new Map();

  /**
   * @param {EngineWorld} world
   * @param {RTCConfiguration} config
   * @param {{changed: () => void, broken: () => void}} wishes  `changed`: what is received, or how it is connected.
   */
  constructor(world, config, wishes) {
    this.#world = world;
    this.#config = config;
    this.#wishes = wishes;
  }

  /** @returns {Link} */
  get way() {
    return this.#leg?.way ?? "connecting";
  }

  get lines() {
    return this.#lines;
  }

  /** Which of the server's connections this is. */
  get session() {
    return this.#session;
  }

  /** Those of whom something is received. */
  get senders() {
    return new Set([...this.#lines.values()].map(({ participant }) => participant));
  }

  /** @param {Offered} offer */
  take(offer) {
    const { session } = originOf(offer.offer.sdp);
    if (!this.#leg || session !== this.#session) this.#open(session);
    const leg = /** @type {Leg} */ (this.#leg);
    leg.do(() => this.#answer(leg, offer));
  }

  /** @param {RTCConfiguration} config */
  configure(config) {
    this.#config = config;
    this.#leg?.connection.setConfiguration(config);
  }

  mend() {
    this.#leg?.mend();
  }

  /** @returns {Promise<[string, number][]>} */
  levels() {
    const connection = this.#leg?.connection;
    const voices = [...this.#received.values()].filter(({ source }) => source === "microphone");
    return Promise.all(voices.map(async ({ id, track }) => [id, await this.#loudness.of(connection, track)]));
  }

  async route() {
    return (await this.#leg?.route()) ?? null;
  }

  close() {
    this.#leg?.close();
    this.#leg = null;
    this.#lines = new Map();
    this.#compare();
  }

  /** The server has a connection of another session, so that the one before leads nowhere. @param {string} session */
  #open(session) {
    this.close();
    this.#session = session;
    this.#leg = new Leg("down", this.#world, this.#config, {
      changed: this.#wishes.changed,
      broken: this.#wishes.broken,
      restart: () => void this.#world.ask("restart", {}),
    });
  }

  /**
   * @param {Leg} leg
   * @param {Offered} offer
   */
  async #answer(leg, { seq, offer, tracks }) {
    const { connection } = leg;
    await connection.setRemoteDescription(offer);
    await connection.setLocalDescription();
    this.#lines = new Map(tracks.map((line) => [line.mid, line]));
    this.#compare();
    this.#wishes.changed();
    const { type, sdp } = /** @type {RTCSessionDescription} */ (connection.localDescription);
    while (leg === this.#leg) {
      const result = await this.#world.ask("ready", { seq, answer: { type, sdp } });
      if (result.ok || OVERTAKEN.has(result.refusal.code)) return;
      if (result.refusal.code !== "too-fast") throw new Error(result.refusal.message);
      await new Promise((resolve) => this.#world.later(() => resolve(undefined), AGAIN_MS));
    }
  }

  /** Tell what is received now that was not before, and the other way round. */
  #compare() {
    const { listener } = this.#world;
    /** @type {Map<string, Received>} */
    const now = new Map();
    for (const { mid, receiver } of this.#leg?.connection.getTransceivers() ?? []) {
      const line = this.#lines.get(mid ?? "");
      if (!line) continue;
      const { participant: id, source } = line;
      now.set(`${id} ${source}`, { id, source, track: receiver.track });
    }
    for (const [key, { id, source }] of this.#received) if (!now.has(key)) listener.received(id, source, null);
    for (const [key, { id, source, track }] of now) {
      if (this.#received.get(key)?.track !== track) listener.received(id, source, track);
    }
    this.#received = now;
  }
}
