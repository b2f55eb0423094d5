// One person's way through one call: look into the mirror, enter, see and be seen, leave or be shown out.
// No DOM. It joins one's place in the call, one's own side of it and the engine that carries it, none of which knows of the
// call as it is shown; that state is kept here.

/** @import { Result } from "../protocol.js" */
/** @import { Engine, EngineWorld, Trouble } from "./engine.js" */
/** @import { Farewell, Said } from "./news.js" */
/** @import { World as AttendanceWorld } from "./attendance.js" */
/** @import { World as OwnWorld } from "./own-side.js" */
/** @import { Entry, Ice, ParticipantNews, Source } from "./wire.js" */

import { Attendance } from "./attendance.js";
import { Call } from "./call.js";
import { qualityFor } from "./engine.js";
import { ELSEWHERE, farewellOf, wordsOfNews } from "./news.js";
import { OwnSide } from "./own-side.js";

const LEVELS_EVERY_MS = 250;
/** Fresh credentials are fetched when so much of their time is over. */
const RELAYS_FRESH_SHARE = 0.8;
const RELAYS_AGAIN_MS = 60_000;
const LONGEST_TIMER_MS = 2_147_483_647;

/** @typedef {"preview" | "connecting" | "in" | "over"} Phase */

/** How one's place in the call is called on the way. */
const PHASES = /** @type {const} */ ({ none: "preview", sought: "connecting", held: "in" });

/**
 * @typedef {object} Listener
 * @property {() => void} changed
 * @property {(words: string) => void} told      Something that everybody may read, for a moment.
 * @property {(words: string) => void} spoken    For those who listen, because those who look see it.
 */

/**
 * @typedef {object} EngineRoom
 * @property {(name: Entry["engine"], world: EngineWorld) => Promise<Engine>} engine
 * @property {EngineWorld["connect"]} connect
 * @property {Listener} listener
 * @property {() => number} now
 */

/** @typedef {AttendanceWorld & OwnWorld & EngineRoom} World */

export class Meeting {
  /** One's place in the call. */
  attendance;
  /** What one sends and shows. */
  own;
  call = new Call();

  #world;
  #watches;
  /** @type {Promise<Engine> | null} */
  #starting = null;
  /** @type {Engine | null} */
  #engine = null;
  #over = false;
  /** Why one is not in, where that is known. */
  #refusal = "";
  /** Whether all places of those who are seen and heard are taken. */
  #full = false;
  /** @type {Farewell | null} */
  #farewell = null;
  #locked = false;
  /** @type {Set<Trouble>} */
  #troubles = new Set();
  #people = 0;
  #hasRelay = false;

  /**
   * @param {{room: string, watches?: boolean}} where  `watches`: what one comes with allows no more.
   * @param {World} world
   */
  constructor({ room, watches = false }, world) {
    this.#watches = watches;
    this.#world = world;
    this.attendance = new Attendance(room, world, {
      media: () => this.own.media,
      prepare: (entry) => this.#prepare(entry),
      entered: (entry, news) => this.#entered(entry, news),
      refused: ({ code, message }) => {
        const { audio, video } = this.own.media;
        this.#full = code === "full" && (audio || video);
        this.#refusal = message;
        this.#changed();
      },
      putOut: ({ message }) => this.#end({ title: "You are out of the call", words: message, again: true }),
      reachable: () => this.#changed(),
    }, {
      participant: (news) => this.#heard(news),
      signal: (signal) => this.#engine?.told("signal", signal),
      offer: (offered) => this.#engine?.told("offer", offered),
      media: (news) => this.#engine?.told("media", news),
      moderated: (order) => void this.own.obey(order),
      call: ({ locked }) => {
        this.#locked = locked;
        this.#changed();
      },
      superseded: () => this.#end(ELSEWHERE),
      ended: ({ reason, by }) => this.#end(farewellOf(reason, by?.name)),
    });
    this.own = new OwnSide(world, this.attendance, this.call, {
      sends: (source, track) => this.#engine?.publish(source, track),
      changed: () => this.#changed(),
      told: (words) => world.listener.told(words),
    });
  }

  /** @returns {Phase} */
  get phase() {
    return this.#over ? "over" : PHASES[this.attendance.standing];
  }

  get refusal() {
    return this.#refusal;
  }

  /** Whether one could still enter to watch and listen. */
  get mayStillWatch() {
    return this.#full;
  }

  get farewell() {
    return this.#farewell;
  }

  get grants() {
    return this.attendance.entry?.grants ?? { publish: !this.#watches, screen: false, moderate: false };
  }

  /** Whether there is a relay, as far as is known before entering. */
  get hasRelay() {
    return this.#hasRelay;
  }

  get locked() {
    return this.#locked;
  }

  /** What stands in the way of media, as far as the browser told. */
  get troubles() {
    return this.#troubles;
  }

  /** Open microphone and camera to see oneself as the others would. */
  async lookIntoTheMirror() {
    void this.#askForRelay();
    if (!this.#watches) await this.own.open();
  }

  /** @param {{watch?: boolean}} [how]  Only to watch and listen: the camera is let go of. */
  enter({ watch = false } = {}) {
    if (this.phase !== "preview") return;
    this.#refusal = "";
    this.#full = false;
    if (watch) this.own.capture.close();
    this.attendance.take();
    this.#changed();
  }

  /** Leave, or stop trying to enter. */
  leave() {
    this.attendance.leave();
    this.#stop();
  }

  /** The page goes away. */
  vanish() {
    this.attendance.vanish();
  }

  close() {
    this.attendance.close();
    this.#stop();
  }

  /** @param {string} key */
  zoom(key) {
    this.call.zoom(key);
    this.#changed();
  }

  /** @param {ReadonlyMap<string, number>} widths  How wide each person is shown. */
  watched(widths) {
    this.#engine?.watched?.(widths);
  }

  /**
   * @param {string} participant
   * @param {"mute" | "unpublish" | "kick"} action
   * @param {Source} [source]
   */
  async moderate(participant, action, source) {
    await this.#request("moderate", { participant, action, ...(source && { source }) });
  }

  /** @param {boolean} locked */
  async lock(locked) {
    await this.#request("lock", { locked }); // everybody is told
  }

  /** End the call for everybody. */
  async end() {
    await this.#request("end", {});
  }

  async routes() {
    return (await this.#engine?.routes()) ?? [];
  }

  /**
   * Whether this page has the engine that carries the call.
   *
   * @param {Entry} entry
   */
  async #prepare(entry) {
    this.#starting ??= this.#world.engine(entry.engine, this.#engineWorld());
    const engine = await this.#starting.catch(() => null);
    if (!engine) this.#starting = null;
    if (this.attendance.standing !== "none") this.#engine = engine;
    return engine !== null;
  }

  /**
   * @param {Entry} entry
   * @param {{first: boolean}} news
   */
  #entered(entry, { first }) {
    const gone = this.call.entered(entry, this.#world.now());
    for (const { id } of gone) this.#engine?.left(id);
    this.#refusal = "";
    if (first) {
      this.#locked = entry.call.locked;
      this.own.begin(entry.grants);
      void this.#listenToLevels();
    }
    this.#engine?.entered(entry);
    this.#measure();
    this.#keepRelaysFresh(entry, entry.ice);
    this.own.tellAll(entry.grants);
  }

  /** @returns {EngineWorld} */
  #engineWorld() {
    return {
      send: async (to, body) => (await this.attendance.ask("signal", { to, ...body })).ok,
      ask: (event, question) => this.attendance.ask(event, question),
      ice: () => this.#freshRelays(),
      connect: this.#world.connect,
      listener: {
        received: (id, source, track) => {
          this.call.received(id, source, track);
          this.#changed();
        },
        linked: (id, link) => {
          this.call.linked(id, link);
          if (link === "connected") this.#troubles.clear();
          this.#sweep();
          this.#changed();
        },
        trouble: (trouble) => {
          this.#troubles.add(trouble);
          this.#changed();
        },
      },
      later: this.#world.later,
    };
  }

  /** @param {ParticipantNews} news */
  #heard(news) {
    if (this.phase !== "in" || !this.#engine) return;
    const { change, participant } = news;
    const before = this.call.participant(participant.id);
    const isMe = participant.id === this.call.me?.id;
    this.call.heard(news);
    if (!isMe && change === "left") this.#engine.left(participant.id);
    else if (!isMe) this.#engine.joined(participant);
    if (!isMe) this.#say(wordsOfNews(news, before));
    this.#measure();
    this.#changed();
  }

  /** @param {Said} said */
  #say({ told, spoken }) {
    const { listener } = this.#world;
    for (const words of told) listener.told(words);
    for (const words of spoken) listener.spoken(words);
  }

  /** How many we are decides how much each may send. */
  #measure() {
    const { count } = this.call;
    if (count === this.#people) return;
    this.#people = count;
    const quality = qualityFor(this.attendance.entry?.limits.video ?? [], count);
    if (!quality) return;
    this.#engine?.limit(quality);
    void this.own.capture.limit(quality);
  }

  /**
   * @param {string} event
   * @param {object} question
   */
  async #request(event, question) {
    const result = await this.attendance.ask(event, question);
    if (!result.ok) this.#world.listener.told(result.refusal.message);
  }

  /** @param {Farewell} farewell */
  #end(farewell) {
    this.#stop();
    this.#farewell = farewell;
    this.#changed();
  }

  #stop() {
    this.#over = true;
    this.own.close();
    this.#engine?.close();
    this.#engine = null;
  }

  /** One look at a time: the next one is due a while after this one is answered. */
  async #listenToLevels() {
    if (!this.#engine) return;
    this.#sweep();
    const levels = await this.#engine.levels();
    if (!this.#engine) return;
    const me = this.call.me?.id ?? "";
    if (this.call.levels([...levels, [me, this.own.level(LEVELS_EVERY_MS)]], this.#world.now())) this.#changed();
    this.#world.later(() => void this.#listenToLevels(), LEVELS_EVERY_MS);
  }

  #sweep() {
    for (const { id, name } of this.call.sweep(this.#world.now())) {
      this.#engine?.left(id);
      this.#world.listener.told(`${name} left.`);
      this.#measure();
      this.#changed();
    }
  }

  async #askForRelay() {
    /** @type {Result<Ice>} */
    const result = await this.attendance.inquire("ice");
    if (!result.ok) return;
    this.#hasRelay = result.answer.servers.some(({ urls }) => [urls].flat().some((url) => url.startsWith("turn")));
    this.#changed();
  }

  /** @returns {Promise<Ice | null>} */
  async #freshRelays() {
    /** @type {Result<Ice>} */
    const result = await this.attendance.ask("ice", {});
    return result.ok ? result.answer : null;
  }

  /**
   * For as long as one is in by this entry.
   *
   * @param {Entry} entry
   * @param {Ice} ice
   */
  #keepRelaysFresh(entry, { ends_at }) {
    if (ends_at === null || ends_at === undefined) return;
    const left = ends_at - this.#world.now();
    const ms = left > 0 ? left * RELAYS_FRESH_SHARE : RELAYS_AGAIN_MS;
    this.#world.later(async () => {
      if (this.attendance.entry !== entry) return;
      const ice = await this.#freshRelays();
      if (ice) this.#engine?.relays(ice);
      this.#keepRelaysFresh(entry, ice ?? { servers: [], ends_at: 0 });
    }, Math.min(ms, LONGEST_TIMER_MS));
  }

  #changed() {
    this.#world.listener.changed();
  }
}
