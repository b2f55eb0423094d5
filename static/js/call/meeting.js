// One person's way through one call: look into the mirror, enter, stay in through losses, leave or be shown out.
// No DOM. It drives the signalling, the engine and the capture, and keeps the state that the views show.

/** @import { Result } from "../protocol.js" */
/** @import { Capture, Kind, Listener as CaptureListener } from "./capture.js" */
/** @import { Engine, EngineWorld, Trouble } from "./engine.js" */
/** @import { Ear, Signaling } from "./signaling.js" */
/** @import { Farewell, Said } from "./news.js" */
/** @import { Entry, Ice, Moderated, ParticipantNews, Source } from "./wire.js" */

import { Call } from "./call.js";
import { qualityFor } from "./engine.js";
import { ELSEWHERE, farewellOf, wordsOfLoss, wordsOfNews, wordsOfOrder } from "./news.js";

const LEVELS_EVERY_MS = 250;
const UNREACHABLE_AFTER_MS = 1_500;
const JOIN_AGAIN_FIRST_MS = 300;
const JOIN_AGAIN_LONGEST_MS = 2_000;
/** Fresh credentials are fetched when so much of their time is over. */
const RELAYS_FRESH_SHARE = 0.8;
const RELAYS_AGAIN_MS = 60_000;
const CONNECT_WITHIN_MS = 5_000;
const EARLY_KEPT = 500;
const LONGEST_TIMER_MS = 2_147_483_647;

/** Refusals that may be another answer in a moment. */
const PASSING = new Set(["timeout", "offline", "unavailable", "too-fast", "internal"]);

/** @typedef {"preview" | "connecting" | "in" | "over"} Phase */
/** @typedef {{level: (ms: number) => number, close: () => void}} Meter */

/**
 * @typedef {object} Listener
 * @property {() => void} changed
 * @property {(words: string) => void} told      Something that everybody may read, for a moment.
 * @property {(words: string) => void} spoken    For those who listen, because those who look see it.
 */

/**
 * @typedef {object} World
 * @property {(ear: Ear) => Pick<Signaling, "open" | "close" | "ask" | "connected" | "sayGoodbye">} signaling
 * @property {(name: Entry["engine"], world: EngineWorld) => Promise<Engine>} engine
 * @property {(listener: CaptureListener) => Pick<Capture, "track" | "speaks" | "open" | "close" | "limit" | "setMicrophone" | "setCamera" | "whisper" | "wants" | "choose" | "chosen" | "devices" | "problems">} capture
 * @property {() => Promise<{screen: MediaStreamTrack, sound: MediaStreamTrack | null} | null>} askForScreen
 * @property {(track: MediaStreamTrack) => Meter} meter
 * @property {() => string | undefined} token
 * @property {EngineWorld["connect"]} connect
 * @property {Listener} listener
 * @property {(run: () => void, ms: number) => unknown} later
 * @property {() => number} now
 */

export class Meeting {
  #world;
  #room;
  #watches;
  #call = new Call();
  #capture;
  #signaling;
  /** @type {Promise<Engine> | null} */
  #starting = null;
  /** @type {Engine | null} */
  #engine = null;
  /** @type {Entry | null} */
  #entry = null;
  /** @type {Phase} */
  #phase = "preview";
  /** Why one is not in, where that is known. */
  #refusal = "";
  /** Whether all places of those who are seen and heard are taken. */
  #full = false;
  /** @type {Farewell | null} */
  #farewell = null;
  #reachable = true;
  #joining = false;
  /** @type {(() => void)[]} */
  #early = [];
  /** Counts connections and losses, so that an answer or a timer knows whether it is about the present one. */
  #turn = 0;
  /** @type {(() => void)[]} Who waits for a connection. */
  #waiting = [];
  /** The token that the connection was made with. @type {string | undefined} */
  #usedToken;
  /** @type {Map<Source, MediaStreamTrack>} */
  #screen = new Map();
  /** Whether the browser asks just now what to share. */
  #choosing = false;
  #hand = false;
  #locked = false;
  #whispering = false;
  /** @type {Meter | null} */
  #meter = null;
  /** @type {Set<Trouble>} */
  #troubles = new Set();
  #people = 0;
  #hasRelay = false;

  /**
   * @param {{room: string, watches?: boolean}} where  `watches`: what one comes with allows no more.
   * @param {World} world
   */
  constructor({ room, watches = false }, world) {
    this.#room = room;
    this.#watches = watches;
    this.#world = world;
    this.#capture = world.capture({
      track: (kind, track) => this.#captured(kind, track),
      problems: () => this.#changed(),
      devices: () => this.#changed(),
      unplugged: (kind, instead) => world.listener.told(wordsOfLoss(kind, instead)),
    });
    this.#signaling = world.signaling(this.#ear());
  }

  get room() {
    return this.#room;
  }

  get phase() {
    return this.#phase;
  }

  get call() {
    return this.#call;
  }

  get capture() {
    return this.#capture;
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

  /** Whether the server can be reached; the media may go on without it. */
  get reachable() {
    return this.#reachable;
  }

  get grants() {
    return this.#entry?.grants ?? { publish: !this.#watches, screen: false, moderate: false };
  }

  /** Whether there is a relay, as far as is known before entering. */
  get hasRelay() {
    return this.#hasRelay;
  }

  get sharing() {
    return this.#screen.has("screen");
  }

  get hand() {
    return this.#hand;
  }

  get locked() {
    return this.#locked;
  }

  get whispering() {
    return this.#whispering;
  }

  /** What stands in the way of media, as far as the browser told. */
  get troubles() {
    return this.#troubles;
  }

  /** How loud this person has been, from 0 to 1. @param {number} ms  Over how long, until now. */
  level(ms) {
    return this.#capture.speaks ? (this.#meter?.level(ms) ?? 0) : 0;
  }

  /** Open microphone and camera to look into the mirror, as they were the last time. */
  async lookIntoTheMirror() {
    void this.#askForRelay();
    if (this.#watches) return;
    // The microphone is opened even for somebody who begins muted: the meter needs it, and so does hold-to-talk.
    await this.#capture.open({ microphone: true, camera: this.#capture.wants.camera });
  }

  /** @param {{watch?: boolean}} [how]  Only to watch and listen: the camera is let go of. */
  enter({ watch = false } = {}) {
    if (this.#wantsIn()) return;
    this.#phase = "connecting";
    this.#refusal = "";
    this.#full = false;
    if (watch) this.#capture.close();
    this.#changed();
    if (this.#signaling.connected) void this.#join();
    else this.#signaling.open();
  }

  /** Leave, or stop trying to enter. */
  leave() {
    const left = this.#phase === "in" ? this.#signaling.ask("leave", {}) : null;
    this.#hangUp();
    // A connection that ends before the server has come to its last word is one that was lost: one's place would be kept.
    if (left) void left.then(() => this.#signaling.close());
    else this.#signaling.close();
  }

  /** The page goes away. */
  vanish() {
    if (this.#phase === "in") this.#signaling.sayGoodbye();
  }

  close() {
    this.#hangUp();
    this.#signaling.close();
  }

  #hangUp() {
    this.#stop();
    this.#phase = "over";
    this.#capture.close();
  }

  /** @param {boolean} on */
  async setMicrophone(on) {
    this.#whispering = false;
    await this.#capture.setMicrophone(on);
    this.#speaks();
  }

  /** @param {boolean} on */
  async setCamera(on) {
    await this.#capture.setCamera(on);
  }

  /** Speak while a key is held. @param {boolean} on */
  whisper(on) {
    if (on === this.#whispering || (on && this.#capture.speaks) || !this.#capture.track("microphone")) return;
    this.#whispering = on;
    this.#capture.whisper(on);
    this.#speaks();
  }

  async share() {
    if (this.sharing || this.#choosing || !this.grants.screen) return;
    this.#choosing = true;
    const shared = await this.#world.askForScreen().finally(() => (this.#choosing = false));
    if (!shared) {
      // Most browsers do not say whether it was the person or the system, and then one would press and see nothing happen.
      this.#world.listener.told("Your screen is not shared.");
      return;
    }
    const { screen, sound } = shared;
    if (this.#phase !== "in") {
      screen.stop();
      sound?.stop();
      return;
    }
    screen.addEventListener("ended", () => this.stopSharing(), { once: true });
    this.#screen.set("screen", screen);
    if (sound) this.#screen.set("screen-audio", sound);
    await this.#begins({ screen: true }, () => {
      for (const [source, track] of this.#screen) this.#send(source, track);
    }, () => this.stopSharing());
  }

  stopSharing() {
    if (!this.sharing) return;
    for (const [source, track] of this.#screen) {
      track.stop();
      this.#send(source, null);
    }
    this.#screen.clear();
    this.#tellState({ screen: false });
  }

  raiseHand() {
    this.#hand = !this.#hand;
    this.#tellState({ hand: this.#hand });
  }

  /** @param {string} key */
  zoom(key) {
    this.#call.zoom(key);
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

  async end() {
    await this.#request("end", {});
  }

  /**
   * Ask the server something that one need not be in the call for.
   *
   * @template Answer
   * @param {string} event
   * @returns {Promise<Result<Answer>>}
   */
  async inquire(event) {
    if (!this.#signaling.connected) {
      const connected = new Promise((resolve) => {
        this.#waiting.push(() => resolve(undefined));
        this.#world.later(() => resolve(undefined), CONNECT_WITHIN_MS);
      });
      this.#signaling.open();
      await connected;
    }
    return this.#signaling.ask(event, { room: this.#room });
  }

  async #askForRelay() {
    /** @type {Result<Ice>} */
    const result = await this.inquire("ice");
    if (!result.ok) return;
    this.#hasRelay = result.answer.servers.some(({ urls }) => [urls].flat().some((url) => url.startsWith("turn")));
    this.#changed();
  }

  async routes() {
    return (await this.#engine?.routes()) ?? [];
  }

  /** @returns {Ear} */
  #ear() {
    return {
      token: () => (this.#usedToken = this.#world.token()),
      resume: () => this.#entry?.resume,
      connected: () => {
        this.#turn += 1;
        for (const go of this.#waiting.splice(0)) go();
        if (this.#phase !== "preview" && this.#phase !== "over") void this.#join();
      },
      disconnected: () => this.#lost(),
      refused: ({ code, message }) => {
        for (const go of this.#waiting.splice(0)) go();
        this.#refusedAtTheDoor(code, message);
      },
      participant: (news) => this.#inTurn(() => this.#heard(news)),
      signal: (signal) => this.#inTurn(() => this.#engine?.told("signal", signal)),
      offer: (offered) => this.#inTurn(() => this.#engine?.told("offer", offered)),
      media: (news) => this.#inTurn(() => this.#engine?.told("media", news)),
      moderated: (order) => void this.#obey(order),
      call: ({ locked }) => {
        this.#locked = locked;
        this.#changed();
      },
      superseded: () => this.#end(ELSEWHERE),
      ended: ({ reason, by }) => this.#end(farewellOf(reason, by?.name)),
    };
  }

  /**
   * What comes while a join is under way may be older or newer than its answer; taken in after it, it is right either way.
   *
   * @param {() => void} act
   */
  #inTurn(act) {
    if (!this.#joining) act();
    else if (this.#early.length < EARLY_KEPT) this.#early.push(act);
  }

  /** Join, and join again for as long as the server is there and does not say no. */
  async #join() {
    if (this.#joining) return;
    this.#joining = true;
    let failures = 0;
    while (this.#signaling.connected && this.#wantsIn()) {
      const turn = this.#turn;
      const resume = this.#entry?.resume;
      const media = this.#media;
      /** @type {Result<Entry>} */
      const result = await this.#signaling.ask("join", { room: this.#room, media, ...(resume && { resume }) });
      if (!this.#wantsIn()) break;
      if (turn !== this.#turn) continue;
      if (result.ok) {
        await this.#entered(result.answer);
        if (turn === this.#turn) break;
        continue;
      }
      const { code, message } = result.refusal;
      if (resume && this.#entry && code === "not-found") {
        // The place is not kept any more: one enters as somebody who comes.
        this.#entry = { ...this.#entry, resume: "" };
        continue;
      }
      if (!PASSING.has(code) || (this.#phase === "connecting" && code !== "offline" && code !== "timeout")) {
        this.#full = code === "full" && (media.audio || media.video);
        this.#refuse(message);
        break;
      }
      failures += 1;
      const ms = Math.min(JOIN_AGAIN_FIRST_MS * 2 ** failures, JOIN_AGAIN_LONGEST_MS);
      await new Promise((resolve) => this.#world.later(() => resolve(undefined), ms));
    }
    this.#joining = false;
    for (const act of this.#early.splice(0)) act();
  }

  /** What this person is sending, or would. */
  get #media() {
    return { audio: this.#capture.speaks, video: this.#capture.track("camera") !== null };
  }

  #wantsIn() {
    return this.#phase === "connecting" || this.#phase === "in";
  }

  /** @param {Entry} entry */
  async #entered(entry) {
    const first = this.#phase === "connecting";
    this.#entry = entry;
    this.#starting ??= this.#world.engine(entry.engine, this.#engineWorld());
    const engine = await this.#starting.catch(() => null);
    if (!this.#wantsIn()) return;
    if (!engine) {
      // The server has become another version since this page was loaded.
      this.#starting = null;
      this.#entry = null;
      void this.#signaling.ask("leave", {});
      this.#refuse("This page is too old for the server. Load it again.");
      return;
    }
    this.#engine = engine;
    const gone = this.#call.entered(entry, this.#world.now());
    for (const { id } of gone) engine.left(id);
    this.#phase = "in";
    this.#reachable = true;
    this.#refusal = "";
    if (first) this.#begin(entry);
    engine.entered(entry);
    this.#measure();
    this.#keepRelaysFresh(entry.ice);
    // The server may remember how it was when the connection was lost.
    this.#tellState({ ...(entry.grants.publish && { ...this.#media, screen: this.sharing }), hand: this.#hand });
  }

  /** @param {Entry} entry */
  #begin({ grants, call }) {
    this.#locked = call.locked;
    if (grants.publish) {
      const camera = this.#capture.track("camera");
      const microphone = this.#capture.track("microphone");
      if (camera) this.#send("camera", camera);
      if (microphone && this.#capture.speaks) this.#send("microphone", microphone);
    } else {
      this.#capture.close();
    }
    void this.#listenToLevels(this.#call);
  }

  /** @returns {EngineWorld} */
  #engineWorld() {
    return {
      send: async (to, body) => (await this.#signaling.ask("signal", { to, ...body })).ok,
      ask: (event, question) => this.#signaling.ask(event, question),
      ice: () => this.#freshRelays(),
      connect: this.#world.connect,
      listener: {
        received: (id, source, track) => {
          this.#call.received(id, source, track);
          this.#changed();
        },
        linked: (id, link) => {
          this.#call.linked(id, link);
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
    if (this.#phase !== "in" || !this.#engine) return;
    const { change, participant } = news;
    const before = this.#call.participant(participant.id);
    const isMe = participant.id === this.#call.me?.id;
    this.#call.heard(news);
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
    const { count } = this.#call;
    if (count === this.#people) return;
    this.#people = count;
    const quality = qualityFor(this.#entry?.limits.video ?? [], count);
    if (!quality) return;
    this.#engine?.limit(quality);
    void this.#capture.limit(quality);
  }

  /**
   * @param {Kind} kind
   * @param {MediaStreamTrack | null} track
   */
  #captured(kind, track) {
    if (kind === "microphone") {
      this.#meter?.close();
      this.#meter = track && this.#world.meter(track);
    }
    if (this.#phase === "in" && this.grants.publish) {
      if (!track || this.#call.isSending(kind)) {
        this.#send(kind, track);
        this.#tellState(this.#media);
      } else if (kind === "microphone") {
        this.#speaks();
      } else {
        void this.#begins({ video: true }, () => this.#send(kind, track), () => void this.setCamera(false));
      }
    }
    this.#changed();
  }

  /** The microphone was opened or closed. It is sent from the first word on, and as silence while it is closed. */
  #speaks() {
    const track = this.#capture.track("microphone");
    const { speaks } = this.#capture;
    if (this.#phase === "in" && speaks && track && !this.#call.isSending("microphone")) {
      const refused = () => void this.setMicrophone(false);
      void this.#begins({ audio: true }, () => this.#send("microphone", track), refused);
    } else {
      this.#tellState({ audio: speaks });
    }
  }

  /**
   * Begin to send something, unless the server says that there is no place for it. Without the server it goes on too.
   *
   * @param {{audio?: boolean, video?: boolean, screen?: boolean}} state
   * @param {() => void} send
   * @param {() => void} refused
   */
  async #begins(state, send, refused) {
    const result = await this.#signaling.ask("state", state);
    if (this.#phase !== "in") return;
    if (!result.ok && !PASSING.has(result.refusal.code)) {
      this.#world.listener.told(result.refusal.message);
      refused();
      return;
    }
    send();
    this.#isNow(state);
  }

  /**
   * @param {Source} source
   * @param {MediaStreamTrack | null} track
   */
  #send(source, track) {
    this.#call.sends(source, track);
    this.#engine?.publish(source, track);
  }

  /** Do as a moderator says. @param {Moderated} order */
  async #obey(order) {
    if (this.#phase !== "in") return;
    const { action, source } = order;
    const all = source === undefined;
    if (action === "mute" && (all || source === "microphone") && this.#capture.track("microphone")) {
      await this.setMicrophone(false);
      this.#world.listener.told(wordsOfOrder(order));
    }
    if (action !== "unpublish") return;
    if (all || source === "screen" || source === "screen-audio") this.stopSharing();
    if (all || source === "camera") await this.setCamera(false);
    if (all || source === "microphone") await this.setMicrophone(false);
    this.#world.listener.told(wordsOfOrder(order));
  }

  /** @param {{audio?: boolean, video?: boolean, screen?: boolean, hand?: boolean}} state */
  #tellState(state) {
    // What gets lost is told after the next join.
    if (this.#phase === "in") void this.#signaling.ask("state", state);
    this.#isNow(state);
  }

  /** @param {object} state */
  #isNow(state) {
    const { me } = this.#call;
    if (me) this.#call.heard({ change: "changed", participant: { ...me, ...state } });
    this.#changed();
  }

  /**
   * @param {string} event
   * @param {object} question
   */
  async #request(event, question) {
    const result = await this.#signaling.ask(event, question);
    if (!result.ok) this.#world.listener.told(result.refusal.message);
    return result.ok;
  }

  #lost() {
    this.#turn += 1;
    const turn = this.#turn;
    // A loss that is mended within a moment is nobody's business.
    this.#world.later(() => {
      if (turn !== this.#turn || !this.#wantsIn()) return;
      this.#reachable = false;
      this.#changed();
    }, UNREACHABLE_AFTER_MS);
  }

  /**
   * What this person came with is not good enough; a token that is fresher may be.
   *
   * @param {string} code
   * @param {string} message
   */
  #refusedAtTheDoor(code, message) {
    if (!this.#wantsIn()) return; // only looked; they are told when they try
    if (code === "sign-in" && this.#world.token() !== this.#usedToken) {
      this.#signaling.open();
      return;
    }
    this.#refuse(message);
  }

  /** @param {string} message */
  #refuse(message) {
    if (this.#phase === "in") {
      this.#end({ title: "You are out of the call", words: message, again: true });
      return;
    }
    this.#phase = "preview";
    this.#refusal = message;
    this.#changed();
  }

  /** @param {Farewell} farewell */
  #end(farewell) {
    if (!this.#wantsIn()) return;
    this.#stop();
    this.#capture.close();
    this.#phase = "over";
    this.#farewell = farewell;
    this.#changed();
  }

  #stop() {
    this.#turn += 1;
    for (const track of this.#screen.values()) track.stop();
    this.#screen.clear();
    this.#engine?.close();
    this.#engine = null;
    this.#starting = null;
    this.#entry = null;
    this.#call = new Call();
    this.#people = 0;
    this.#hand = false;
    this.#meter?.close();
    this.#meter = null;
  }

  /** One look at a time: the next one is due a while after this one is answered. @param {Call} call */
  async #listenToLevels(call) {
    if (call !== this.#call || !this.#engine) return;
    this.#sweep();
    const levels = await this.#engine.levels();
    if (call !== this.#call) return;
    const me = call.me?.id ?? "";
    if (call.levels([...levels, [me, this.level(LEVELS_EVERY_MS)]], this.#world.now())) this.#changed();
    this.#world.later(() => void this.#listenToLevels(call), LEVELS_EVERY_MS);
  }

  #sweep() {
    for (const { id, name } of this.#call.sweep(this.#world.now())) {
      this.#engine?.left(id);
      this.#world.listener.told(`${name} left.`);
      this.#measure();
      this.#changed();
    }
  }

  /** @returns {Promise<Ice | null>} */
  async #freshRelays() {
    /** @type {Result<Ice>} */
    const result = await this.#signaling.ask("ice", {});
    return result.ok ? result.answer : null;
  }

  /** @param {Ice} ice */
  #keepRelaysFresh({ ends_at }) {
    if (ends_at === null || ends_at === undefined) return;
    const { resume } = this.#entry ?? {};
    const left = ends_at - this.#world.now();
    const ms = left > 0 ? left * RELAYS_FRESH_SHARE : RELAYS_AGAIN_MS;
    this.#world.later(async () => {
      if (this.#phase !== "in" || this.#entry?.resume !== resume) return;
      const ice = await this.#freshRelays();
      if (ice) this.#engine?.relays(ice);
      this.#keepRelaysFresh(ice ?? { servers: [], ends_at: 0 });
    }, Math.min(ms, LONGEST_TIMER_MS));
  }

  #changed() {
    this.#world.listener.changed();
  }
}
