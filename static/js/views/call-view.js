// The call in the page: joins the meeting with the parts that show it. Loaded when somebody first looks into a call;
// its markup and its styles come with it. With a chat beside it, or alone on a page of its own.

/** @import { Manager } from "../../vendor/socket.io.esm.min.js" */
/** @import { Kind } from "../call/capture.js" */
/** @import { Step } from "../call/check.js" */
/** @import { Engine, EngineWorld } from "../call/engine.js" */
/** @import { Result } from "../protocol.js" */
/** @import { CallInRoom, Entry, Ice } from "../call/wire.js" */

import { Capture, askForScreen } from "../call/capture.js";
import { check } from "../call/check.js";
import { LevelMeter } from "../call/level.js";
import { Meeting } from "../call/meeting.js";
import { Signaling } from "../call/signaling.js";
import { ofThisBrowser } from "../storage.js";
import { namesLine } from "../words.js";
import { CallControls } from "./call-controls.js";
import { CallFarewell } from "./call-farewell.js";
import { CallPeople } from "./call-people.js";
import { CallPreview } from "./call-preview.js";
import { CallSettings } from "./call-settings.js";
import { CallStage } from "./call-stage.js";
import { part } from "./part.js";

const RELAY_ONLY_KEY = "chatzilla.call.relay-only";
const WRITABLE = "input, textarea, select, dialog";
const PRESSABLE = "button, a";

/**
 * Where the call is, and what it is beside.
 *
 * @typedef {object} Place
 * @property {string} room
 * @property {string} name                      What the room is called.
 * @property {Manager} manager
 * @property {() => string | undefined} token
 * @property {boolean} [watches]                What one comes with allows no more.
 * @property {CallInRoom | null} [call]         Who is in, where that is known.
 * @property {boolean} [alone]                  There is no chat beside it.
 */

/**
 * @typedef {object} Wishes
 * @property {(room: string | null) => void} inside  Which call this page is in, or looks into.
 * @property {(open: boolean) => void} chat          Whether the chat is seen beside it.
 * @property {(words: string) => void} say           Aloud, for those who listen.
 */

export class CallView extends HTMLElement {
  /** @type {Wishes | null} */
  wishes = null;

  /** @type {CallPreview} */
  #preview;
  /** @type {CallStage} */
  #stage;
  /** @type {CallControls} */
  #controls;
  /** @type {CallFarewell} */
  #farewell;
  /** @type {CallPeople} */
  #people;
  /** @type {CallSettings} */
  #settings;
  /** @type {Meeting | null} */
  #meeting = null;
  /** @type {Place | null} */
  #place = null;
  #chatOpen = false;
  #unread = 0;
  #drawing = false;
  #wasIn = false;
  /** @type {WakeLockSentinel | null} */
  #awake = null;

  constructor() {
    super();
    this.append(document.importNode(markup, true));
    this.#preview = part(this, "call-preview", CallPreview);
    this.#stage = part(this, "call-stage", CallStage);
    this.#controls = part(this, "call-controls", CallControls);
    this.#farewell = part(this, "call-farewell", CallFarewell);
    this.#people = part(this, "call-people", CallPeople);
    this.#settings = part(this, "call-settings", CallSettings);
    this.#wire();
    addEventListener("pagehide", () => this.#meeting?.vanish());
    document.addEventListener("keydown", (event) => this.#key(event, true));
    document.addEventListener("keyup", (event) => this.#key(event, false));
    addEventListener("blur", () => this.#meeting?.own.whisper(false));
    document.addEventListener("visibilitychange", () => void this.#keepAwake());
  }

  /** Which call this page is in, or looks into. */
  get room() {
    return this.#place?.room ?? null;
  }

  /**
   * Look into a call.
   *
   * @param {Place} place
   */
  open(place) {
    if (this.#meeting && this.#place?.room === place.room && this.#meeting.phase !== "over") {
      this.#controls.focusMicrophone();
      return;
    }
    this.#meeting?.leave();
    this.#place = place;
    this.hidden = false;
    this.wishes?.inside(place.room);
    this.#setChat(!place.alone && !PHONE.matches);
    this.#begin();
  }

  /** Leave the call, and go away. */
  close() {
    this.#meeting?.leave();
    this.#meeting = null;
    this.#place = null;
    this.hidden = true;
    this.#wasIn = false;
    this.#preview.hidden = this.#stage.hidden = this.#controls.hidden = this.#farewell.hidden = true;
    void this.#keepAwake();
    this.wishes?.inside(null);
  }

  /**
   * Take in what the chat hears of a call.
   *
   * @param {string} room
   * @param {CallInRoom | null} call
   */
  heard(room, call) {
    if (this.#place?.room !== room) return;
    this.#place.call = call;
    this.#show();
  }

  /** @param {number} unread  How many messages beside the call were not seen. */
  set unread(unread) {
    if (unread === this.#unread) return;
    this.#unread = unread;
    this.#show();
  }

  #begin() {
    const place = /** @type {Place} */ (this.#place);
    const meeting = new Meeting(
      { room: place.room, watches: place.watches },
      {
        signaling: (ear) => new Signaling(place.manager, ear),
        engine: (name, world) => this.#startEngine(name, world),
        capture: (listener) => new Capture(navigator.mediaDevices, ofThisBrowser, listener),
        askForScreen,
        meter: (track) => new LevelMeter(track),
        token: place.token,
        connect: (config) => new RTCPeerConnection(config),
        listener: {
          changed: () => this.#show(),
          told: (words) => {
            this.#stage.tell(words);
            this.wishes?.say(words);
          },
          spoken: (words) => this.wishes?.say(words),
        },
        later: setTimeout.bind(window),
        now: Date.now,
      },
    );
    this.#meeting = meeting;
    this.#show();
    void meeting.lookIntoTheMirror();
  }

  /**
   * @param {Entry["engine"]} name
   * @param {EngineWorld} world
   * @returns {Promise<Engine>}
   */
  async #startEngine(name, world) {
    if (name === "sfu") {
      // Nobody learns anybody's address from the server, so that there is nothing to hide behind a relay.
      const { Sfu } = await import("../call/sfu.js");
      return new Sfu(world);
    }
    const { Mesh } = await import("../call/mesh.js");
    return new Mesh(world, { relayOnly: this.#relayOnly });
  }

  get #relayOnly() {
    return ofThisBrowser.getItem(RELAY_ONLY_KEY) !== null;
  }

  #wire() {
    const meeting = () => /** @type {Meeting} */ (this.#meeting);
    const choose = (/** @type {Kind | "speaker"} */ kind, /** @type {string} */ id) => {
      void meeting().own.capture.choose(kind, id).then(() => this.#show());
    };
    this.#preview.wishes = {
      enter: () => meeting().enter(),
      watch: () => meeting().enter({ watch: true }),
      close: () => this.close(),
      check: () => this.#openSettings(),
      again: () => void meeting().lookIntoTheMirror(),
      microphone: (on) => void meeting().own.setMicrophone(on),
      camera: (on) => void meeting().own.setCamera(on),
      choose,
      relayOnly: (on) => {
        if (on) ofThisBrowser.setItem(RELAY_ONLY_KEY, "yes");
        else ofThisBrowser.removeItem(RELAY_ONLY_KEY);
      },
    };
    this.#stage.wishes = {
      zoom: (key) => meeting().zoom(key),
      why: () => this.#openSettings(),
      watched: (widths) => this.#meeting?.watched(widths),
    };
    this.#controls.wishes = {
      microphone: (on) => void meeting().own.setMicrophone(on),
      camera: (on) => void meeting().own.setCamera(on),
      screen: (on) => void (on ? this.#share() : meeting().own.stopSharing()),
      hand: () => meeting().own.raiseHand(),
      people: () => this.#people.open(),
      chat: () => this.#setChat(!this.#chatOpen),
      settings: () => this.#openSettings(),
      leave: () => this.#leave(),
    };
    this.#people.wishes = {
      moderate: (participant, action, source) => void meeting().moderate(participant, action, source),
      lock: (locked) => void meeting().lock(locked),
      end: () => void meeting().end(),
    };
    this.#settings.wishes = { choose, check: (report) => this.#check(report) };
    this.#farewell.wishes = { again: () => this.#again(), close: () => this.close() };
  }

  #leave() {
    if (!this.#place?.alone) {
      this.close();
      return;
    }
    this.#meeting?.leave();
    this.#again();
  }

  /** From the beginning: the mirror, then the call. */
  #again() {
    this.#meeting?.close();
    this.#wasIn = false;
    this.#begin();
  }

  async #share() {
    try {
      await this.#meeting?.own.share();
    } catch (error) {
      this.#stage.tell(`Your screen cannot be shared: ${/** @type {Error} */ (error).message}`);
    }
  }

  /** @param {(step: Step) => void} report */
  async #check(report) {
    const meeting = /** @type {Meeting} */ (this.#meeting);
    const devices = navigator.mediaDevices;
    await check({
      secure: isSecureContext && devices !== undefined,
      devices: async () => {
        const all = (await devices?.enumerateDevices()) ?? [];
        const count = (/** @type {string} */ kind) => all.filter((device) => device.kind === kind).length;
        const refused = meeting.own.capture.problems.some(({ reason }) => reason === "refused");
        return { microphones: count("audioinput"), cameras: count("videoinput"), refused };
      },
      ping: async () => {
        if (!(await meeting.attendance.inquire("peek")).ok) return null;
        const began = performance.now();
        return (await meeting.attendance.inquire("peek")).ok ? performance.now() - began : null;
      },
      ice: async () => {
        /** @type {Result<Ice>} */
        const result = await meeting.attendance.inquire("ice");
        return result.ok ? result.answer : null;
      },
      connect: (config) => new RTCPeerConnection(config),
      report,
    });
  }

  #openSettings() {
    this.#settings.open();
  }

  /** @param {boolean} open */
  #setChat(open) {
    this.#chatOpen = open;
    this.wishes?.chat(open);
    this.#show();
  }

  /** Draw once for all that happens in a moment. */
  #show() {
    if (this.#drawing) return;
    this.#drawing = true;
    queueMicrotask(() => {
      this.#drawing = false;
      this.#draw();
    });
  }

  #draw() {
    const meeting = this.#meeting;
    const place = this.#place;
    if (!meeting || !place) return;
    this.dataset.phase = meeting.phase;
    this.#preview.show(meeting, {
      title: place.alone ? place.name : `Call in ${place.name}`,
      who: whoIsIn(place.call),
      relayOnly: this.#relayOnly,
      closable: !place.alone,
    });
    this.#stage.show(meeting, place.name);
    this.#controls.show(meeting, place.alone ? null : { open: this.#chatOpen, unread: this.#unread });
    this.#farewell.show(meeting.phase === "over" ? meeting.farewell : null, !place.alone);
    this.#people.show(meeting);
    this.#settings.show(meeting);
    const isIn = meeting.phase === "in";
    if (isIn === this.#wasIn) return;
    this.#wasIn = isIn;
    if (isIn) {
      this.wishes?.say(`You are in the call. ${meeting.call.count} participants.`);
      this.#focusStage();
    }
    void this.#keepAwake();
  }

  /** Not on a button: the space bar is to talk. */
  #focusStage() {
    const room = part(this.#stage, ".call-room", HTMLElement);
    room.tabIndex = -1;
    room.focus({ preventScroll: true });
  }

  /**
   * Hold the space bar to talk, and a key for each button; only while the focus is in the call, or nowhere.
   *
   * @param {KeyboardEvent} event
   * @param {boolean} down
   */
  #key(event, down) {
    const meeting = this.#meeting;
    const target = /** @type {HTMLElement} */ (event.target);
    if (meeting?.phase !== "in") return;
    if (event.key === " " && !down) meeting.own.whisper(false);
    const here = target === document.body || this.contains(target);
    const plain = !event.ctrlKey && !event.metaKey && !event.altKey && !event.isComposing;
    if (!down || !here || !plain || target.closest(WRITABLE) || !meeting.grants.publish) return;
    // On a button the space bar presses the button.
    if (event.key === " " && !target.closest(PRESSABLE)) {
      event.preventDefault();
      meeting.own.whisper(true);
    }
    if (event.repeat) return;
    if (event.key === "m") void meeting.own.setMicrophone(!meeting.own.capture.speaks);
    if (event.key === "v") void meeting.own.setCamera(meeting.own.capture.track("camera") === null);
    if (event.key === "h") meeting.own.raiseHand();
  }

  /** The screen stays on while one is in a call and looks at it. */
  async #keepAwake() {
    const wanted = this.#wasIn && !document.hidden;
    if (!wanted) {
      await this.#awake?.release();
      this.#awake = null;
      return;
    }
    if (this.#awake && !this.#awake.released) return;
    try {
      this.#awake = (await navigator.wakeLock?.request("screen")) ?? null;
    } catch {
      // A battery that is low may refuse; the call does not depend on it.
    }
  }
}

/** @param {CallInRoom | null | undefined} call */
function whoIsIn(call) {
  if (call === undefined) return "";
  if (call === null) return "Nobody is in it yet.";
  const names = call.people.map(({ name }) => name);
  return `${namesLine(names, call.count)} ${call.count === 1 ? "is" : "are"} in it.`;
}

const PHONE = matchMedia("(max-width: 51.99rem)");

/** @param {string} name */
function load(name) {
  const style = document.createElement("link");
  style.rel = "stylesheet";
  style.href = new URL(`../../css/${name}.css`, import.meta.url).href;
  document.head.append(style);
  return new Promise((resolve) => {
    style.addEventListener("load", resolve);
    style.addEventListener("error", resolve);
  });
}

/** @returns {Promise<Element>} */
function loadMarkup() {
  // The one way to have markup parsed that the page's policy trusts: a document of our own, in which no script runs.
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("GET", new URL("../../html/call.html", import.meta.url));
    request.responseType = "document";
    request.onload = () => {
      const parsed = request.responseXML?.querySelector(".call-in");
      if (parsed) resolve(parsed);
      else reject(new Error("The call could not be loaded."));
    };
    request.onerror = () => reject(new Error("The call could not be loaded."));
    request.send();
  });
}

const [markup] = await Promise.all([loadMarkup(), load("people"), load("call")]);
customElements.define("call-view", CallView);
