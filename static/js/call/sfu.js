// Through the server: each page sends once, whatever the number of people, and receives all the others on one connection.
//
// Everything at the server can be made anew, and is, whenever something goes wrong there or on the way: both connections
// are thrown away, `ready` says that this page begins, and it sends again. So there is one way of mending whatever a new
// way to the server does not mend. The roster knows nothing of it.

/** @import { Link } from "./call.js" */
/** @import { Engine, EngineWorld, Route } from "./engine.js" */
/** @import { Entry, Ice, MediaNews, Participant, Quality, Source } from "./wire.js" */

import { Downlink } from "./downlink.js";
import { BUNDLED } from "./rtc.js";
import { Uplink } from "./uplink.js";

/** From so many people on, each camera is sent in two sizes. */
export const TWO_SIZES_FROM = 5;
/** Up to this width, in CSS pixels, the small picture will do. */
const SMALL_UP_TO_PX = 320;
export const LOW = 0;
export const HIGH = 1;

/** How long somebody's media may take before it is said that they do not come. */
const SLOW_AFTER_MS = 12_000;
const AGAIN_FIRST_MS = 500;
const AGAIN_LONGEST_MS = 15_000;

/**
 * In which size to receive a camera.
 *
 * @param {number | undefined} width  How wide it is shown.
 * @param {number} people             How many are in the call.
 */
export const layerFor = (width, people) =>
  people >= TWO_SIZES_FROM && width !== undefined && width <= SMALL_UP_TO_PX ? LOW : HIGH;

/** @implements {Engine} */
export class Sfu {
  #world;
  #me = "";
  /** @type {Map<string, Participant>} */
  #known = new Map();
  /** @type {RTCConfiguration} */
  #config = BUNDLED;
  /** @type {Map<Source, MediaStreamTrack>} */
  #tracks = new Map();
  /** @type {Quality | null} */
  #quality = null;
  /** @type {Uplink | null} There is none before there is something to send. */
  #up = null;
  /** @type {Downlink | null} */
  #down = null;
  /** Counts beginnings. */
  #round = 0;
  /** The beginning that the server agreed to. */
  #begun = -1;
  /** Whether another beginning is to come. */
  #waits = false;
  #failures = 0;
  /** Whether nothing goes through the server. */
  #lost = false;
  /** @type {Map<string, Link>} As it was told. */
  #links = new Map();
  /** @type {Set<string>} Who has been connecting for too long. */
  #slow = new Set();
  /** @type {ReadonlyMap<string, number>} */
  #widths = new Map();
  /** @type {Map<string, {participant: string, layer: number | null}>} Which was asked for, by the line's mid; null: in vain. */
  #layers = new Map();
  /** The connection down on which it was. */
  #layersOf = "";
  #over = false;

  /** @param {EngineWorld} world */
  constructor(world) {
    this.#world = world;
  }

  /** @param {Entry} entry */
  entered({ participant, participants, ice }) {
    const same = participant.id === this.#me;
    this.#me = participant.id;
    this.#known = new Map(participants.map((other) => [other.id, other]));
    this.relays(ice);
    if (!same || this.#waits) {
      void this.#begin();
    } else {
      this.#up?.mend();
      this.#down?.mend();
    }
    this.#count();
  }

  /** @param {Participant} participant */
  joined(participant) {
    this.#known.set(participant.id, participant);
    this.#count();
  }

  /** @param {string} id */
  left(id) {
    this.#known.delete(id);
    this.#links.delete(id);
    this.#slow.delete(id);
    this.#count();
  }

  /**
   * @param {string} event
   * @param {any} told
   */
  told(event, told) {
    if (this.#over) return;
    if (event === "offer") this.#down?.take(told);
    if (event === "media") this.#media(told);
  }

  /**
   * @param {Source} source
   * @param {MediaStreamTrack | null} track
   */
  publish(source, track) {
    if (track) this.#tracks.set(source, track);
    else this.#tracks.delete(source);
    this.#send();
  }

  /** @param {Ice} ice */
  relays({ servers }) {
    this.#config = { ...BUNDLED, iceServers: servers };
    this.#up?.configure(this.#config);
    this.#down?.configure(this.#config);
  }

  /** @param {Quality} quality */
  limit(quality) {
    this.#quality = quality;
    this.#count();
  }

  /** @param {ReadonlyMap<string, number>} widths */
  watched(widths) {
    this.#widths = widths;
    this.#choose();
  }

  async levels() {
    return (await this.#down?.levels()) ?? [];
  }

  /** @returns {Promise<Route[]>} */
  async routes() {
    return [(await this.#up?.route()) ?? (await this.#down?.route()) ?? []].flat();
  }

  close() {
    this.#over = true;
    this.#stop();
  }

  /** @param {MediaNews} news */
  #media({ state }) {
    this.#lost = state === "lost";
    if (this.#lost) {
      this.#world.listener.trouble("media-lost");
      this.#tellLinks();
    } else {
      this.#failures = 0;
      void this.#begin();
    }
  }

  get #people() {
    return this.#known.size + 1;
  }

  /** What the connections of this beginning may ask for. */
  get #wishes() {
    const round = this.#round;
    const ifPresent = (/** @type {() => void} */ act) => () => {
      if (round === this.#round) act();
    };
    return { changed: ifPresent(() => this.#changed()), broken: ifPresent(() => this.#beginSoon()) };
  }

  #stop() {
    this.#round += 1;
    this.#up?.close();
    this.#down?.close();
    this.#up = this.#down = null;
    this.#waits = false;
  }

  async #begin() {
    this.#stop();
    const round = this.#round;
    this.#down = new Downlink(this.#world, this.#config, this.#wishes);
    this.#tellLinks();
    const result = await this.#world.ask("ready", {});
    if (round !== this.#round) return;
    if (!result.ok) {
      this.#beginSoon();
      return;
    }
    this.#begun = round;
    this.#lost = false;
    this.#send();
  }

  /** Not at once: what failed now may do so again. */
  #beginSoon() {
    if (this.#waits || this.#lost) return; // when the server can carry media again, it says so
    this.#waits = true;
    const round = this.#round;
    const ms = Math.min(AGAIN_FIRST_MS * 2 ** this.#failures, AGAIN_LONGEST_MS);
    this.#failures += 1;
    this.#world.later(() => {
      if (round === this.#round && !this.#over) void this.#begin();
    }, ms);
  }

  #send() {
    if (this.#begun !== this.#round || this.#over) return;
    if (this.#up) {
      this.#up.update();
    } else if (this.#tracks.size > 0) {
      const what = { tracks: this.#tracks, quality: this.#quality, twoSizes: this.#people >= TWO_SIZES_FROM };
      this.#up = new Uplink(this.#world, this.#config, what, this.#wishes);
    }
  }

  /** What is received, or how this page is connected, is another one. */
  #changed() {
    if (this.#down?.way === "connected" && (!this.#up || this.#up.way === "connected")) this.#failures = 0;
    this.#forgetLayers();
    this.#choose();
    this.#tellLinks();
  }

  /** Another number of people are in the call. */
  #count() {
    this.#up?.limit(this.#quality, this.#people >= TWO_SIZES_FROM);
    this.#choose();
    this.#tellLinks();
  }

  /** A line that is somebody else's now, and every line of another connection, comes in the large size at first. */
  #forgetLayers() {
    const session = this.#down?.session ?? "";
    for (const [mid, { participant }] of this.#layers) {
      if (session !== this.#layersOf || this.#down?.lines.get(mid)?.participant !== participant) this.#layers.delete(mid);
    }
    this.#layersOf = session;
  }

  #choose() {
    for (const [mid, { participant, source }] of this.#down?.lines ?? []) {
      if (source !== "camera") continue;
      const layer = layerFor(this.#widths.get(participant), this.#people);
      const before = this.#layers.has(mid) ? this.#layers.get(mid)?.layer : HIGH;
      if (layer === before) continue;
      const asked = { participant, layer };
      this.#layers.set(mid, asked);
      void this.#world.ask("quality", { mid, layer }).then(({ ok }) => {
        if (!ok && this.#layers.get(mid) === asked) this.#layers.set(mid, { participant, layer: null });
      });
    }
  }

  #tellLinks() {
    const { listener } = this.#world;
    for (const id of this.#links.keys()) {
      if (this.#known.has(id)) continue;
      this.#links.delete(id);
      listener.linked(id, "failed"); // whom the server does not know, nothing comes from
    }
    for (const participant of this.#known.values()) {
      const { id } = participant;
      const link = this.#linkOf(participant);
      if (link === this.#links.get(id)) continue;
      this.#links.set(id, link);
      if (link === "connecting") this.#waitFor(id);
      listener.linked(id, link);
    }
  }

  /**
   * @param {Participant} participant
   * @returns {Link}
   */
  #linkOf({ id, audio, video, screen, state }) {
    if (this.#lost || state === "reconnecting") return "reconnecting";
    const way = this.#down?.way ?? "connecting";
    const before = this.#links.get(id) ?? "connecting";
    const comes = this.#down?.senders.has(id) ?? false;
    const sends = audio || video || screen;
    // Somebody who begins to send was connected before, and has a line in a moment.
    const settled = comes ? way === "connected" : !sends || (before === "connected" && way === "connected");
    if (settled) {
      this.#slow.delete(id);
      return "connected";
    }
    if (way === "failed" || this.#slow.has(id)) return "failed";
    return before === "connecting" && way !== "reconnecting" ? "connecting" : "reconnecting";
  }

  /** @param {string} id */
  #waitFor(id) {
    this.#world.later(() => {
      if (this.#over || this.#links.get(id) !== "connecting") return;
      this.#slow.add(id);
      this.#tellLinks();
    }, SLOW_AFTER_MS);
  }
}
