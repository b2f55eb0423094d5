// One's own side of a call: microphone, camera, screen and raised hand. It drives the capture, sends what there is, and
// sees that the server agrees and the others know.

/** @import { Attendance } from "./attendance.js" */
/** @import { Call } from "./call.js" */
/** @import { Capture, Kind, Listener as CaptureListener } from "./capture.js" */
/** @import { Entry, Moderated, Source, State } from "./wire.js" */

import { isPassing } from "./attendance.js";
import { wordsOfLoss, wordsOfOrder } from "./news.js";

/** @typedef {{level: (ms: number) => number, close: () => void}} Meter */

/**
 * @typedef {object} World
 * @property {(listener: CaptureListener) => Pick<Capture, "track" | "speaks" | "open" | "close" | "limit" | "setMicrophone" | "setCamera" | "whisper" | "wants" | "choose" | "chosen" | "devices" | "problems">} capture
 * @property {() => Promise<{screen: MediaStreamTrack, sound: MediaStreamTrack | null} | null>} askForScreen
 * @property {(track: MediaStreamTrack) => Meter} meter
 */

/**
 * @typedef {object} Listener
 * @property {(source: Source, track: MediaStreamTrack | null) => void} sends  From now on; with null, nothing.
 * @property {() => void} changed
 * @property {(words: string) => void} told
 */

export class OwnSide {
  #world;
  #attendance;
  #call;
  #listener;
  #capture;
  /** @type {Map<Source, MediaStreamTrack>} */
  #screen = new Map();
  /** Whether the browser asks just now what to share. */
  #choosing = false;
  #hand = false;
  #whispering = false;
  /** @type {Meter | null} */
  #meter = null;

  /**
   * @param {World} world
   * @param {Attendance} attendance
   * @param {Call} call
   * @param {Listener} listener
   */
  constructor(world, attendance, call, listener) {
    this.#world = world;
    this.#attendance = attendance;
    this.#call = call;
    this.#listener = listener;
    this.#capture = world.capture({
      track: (kind, track) => this.#captured(kind, track),
      problems: listener.changed,
      devices: listener.changed,
      unplugged: (kind, instead) => listener.told(wordsOfLoss(kind, instead)),
    });
  }

  get capture() {
    return this.#capture;
  }

  /** What this person is sending, or would. */
  get media() {
    return { audio: this.#capture.speaks, video: this.#capture.track("camera") !== null };
  }

  get sharing() {
    return this.#screen.has("screen");
  }

  get hand() {
    return this.#hand;
  }

  get whispering() {
    return this.#whispering;
  }

  /** How loud this person has been, from 0 to 1. @param {number} ms  Over how long, until now. */
  level(ms) {
    return this.#capture.speaks ? (this.#meter?.level(ms) ?? 0) : 0;
  }

  /** Open microphone and camera, as they were the last time. */
  async open() {
    // The microphone is opened even for somebody who begins muted: the meter needs it, and so does hold-to-talk.
    await this.#capture.open({ microphone: true, camera: this.#capture.wants.camera });
  }

  /** One is in the call: send what there is. @param {Entry["grants"]} grants */
  begin({ publish }) {
    if (!publish) {
      this.#capture.close();
      return;
    }
    const camera = this.#capture.track("camera");
    const microphone = this.#capture.track("microphone");
    if (camera) this.#send("camera", camera);
    if (microphone && this.#capture.speaks) this.#send("microphone", microphone);
  }

  /** The server may remember how it was when the connection was lost. @param {Entry["grants"]} grants */
  tellAll({ publish }) {
    this.#tell({ ...(publish && { ...this.media, screen: this.sharing }), hand: this.#hand });
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
    if (this.sharing || this.#choosing || !this.#attendance.entry?.grants.screen) return;
    this.#choosing = true;
    const shared = await this.#world.askForScreen().finally(() => (this.#choosing = false));
    if (!shared) {
      // Most browsers do not say whether it was the person or the system, and then one would press and see nothing happen.
      this.#listener.told("Your screen is not shared.");
      return;
    }
    const { screen, sound } = shared;
    if (!this.#attendance.isHeld) {
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
    this.#tell({ screen: false });
  }

  raiseHand() {
    this.#hand = !this.#hand;
    this.#tell({ hand: this.#hand });
  }

  /** Do as a moderator says. @param {Moderated} order */
  async obey(order) {
    if (!this.#attendance.isHeld) return;
    const { action, source } = order;
    const all = source === undefined;
    if (action === "mute" && (all || source === "microphone") && this.#capture.track("microphone")) {
      await this.setMicrophone(false);
      this.#listener.told(wordsOfOrder(order));
    }
    if (action !== "unpublish") return;
    if (all || source === "screen" || source === "screen-audio") this.stopSharing();
    if (all || source === "camera") await this.setCamera(false);
    if (all || source === "microphone") await this.setMicrophone(false);
    this.#listener.told(wordsOfOrder(order));
  }

  /** Let go of everything. */
  close() {
    for (const track of this.#screen.values()) track.stop();
    this.#screen.clear();
    this.#capture.close();
    this.#meter?.close();
    this.#meter = null;
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
    if (this.#attendance.isHeld && this.#attendance.entry?.grants.publish) {
      if (!track || this.#call.isSending(kind)) {
        this.#send(kind, track);
        this.#tell(this.media);
      } else if (kind === "microphone") {
        this.#speaks();
      } else {
        void this.#begins({ video: true }, () => this.#send(kind, track), () => void this.setCamera(false));
      }
    }
    this.#listener.changed();
  }

  /** The microphone was opened or closed. It is sent from the first word on, and as silence while it is closed. */
  #speaks() {
    const track = this.#capture.track("microphone");
    const { speaks } = this.#capture;
    if (this.#attendance.isHeld && speaks && track && !this.#call.isSending("microphone")) {
      const refused = () => void this.setMicrophone(false);
      void this.#begins({ audio: true }, () => this.#send("microphone", track), refused);
    } else {
      this.#tell({ audio: speaks });
    }
  }

  /**
   * Begin to send something, unless the server says that there is no place for it. Without the server it goes on too.
   *
   * @param {State} state
   * @param {() => void} send
   * @param {() => void} refused
   */
  async #begins(state, send, refused) {
    const result = await this.#attendance.ask("state", state);
    if (!this.#attendance.isHeld) return;
    if (!result.ok && !isPassing(result.refusal)) {
      this.#listener.told(result.refusal.message);
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
    this.#listener.sends(source, track);
  }

  /** @param {State} state */
  #tell(state) {
    // What gets lost is told after the next join.
    if (this.#attendance.isHeld) void this.#attendance.ask("state", state);
    this.#isNow(state);
  }

  /** @param {State} state */
  #isNow(state) {
    this.#call.meNow(state);
    this.#listener.changed();
  }
}
