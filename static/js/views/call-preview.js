// Before a call: one sees oneself as in a mirror, sees whether one is heard, chooses devices, and joins.

/** @import { Kind } from "../call/capture.js" */
/** @import { Meeting } from "../call/meeting.js" */

import { wordsOf } from "../call/capture.js";
import { DeviceFields, showTrack, toggle } from "./call-parts.js";
import { part } from "./part.js";

const LEVEL_EVERY_MS = 80;

/**
 * @typedef {object} Wishes
 * @property {() => void} enter
 * @property {() => void} watch                       Enter without being seen or heard.
 * @property {() => void} close
 * @property {() => void} check
 * @property {() => void} again                       Try to open what could not be opened.
 * @property {(on: boolean) => void} microphone
 * @property {(on: boolean) => void} camera
 * @property {(kind: Kind | "speaker", id: string) => void} choose
 * @property {(on: boolean) => void} relayOnly
 */

export class CallPreview extends HTMLElement {
  /** @type {Wishes | null} */
  wishes = null;

  #title = part(this, "[data-title]", HTMLElement);
  #enter = part(this, "[data-enter]", HTMLButtonElement);
  #watch = part(this, "[data-watch]", HTMLButtonElement);
  #close = part(this, "[data-close]", HTMLButtonElement);
  #microphone = part(this, "[data-microphone]", HTMLButtonElement);
  #camera = part(this, "[data-camera]", HTMLButtonElement);
  #video = part(this, "[data-video]", HTMLVideoElement);
  #level = part(this, "[data-level]", HTMLElement);
  #relayOnly = part(this, "[data-relay-only]", HTMLInputElement);
  #fields = new DeviceFields(this);
  /** @type {Meeting | null} */
  #meeting = null;

  constructor() {
    super();
    this.#enter.addEventListener("click", () => this.wishes?.enter());
    this.#watch.addEventListener("click", () => this.wishes?.watch());
    this.#close.addEventListener("click", () => this.wishes?.close());
    part(this, "[data-check]", HTMLElement).addEventListener("click", () => this.wishes?.check());
    part(this, "[data-again]", HTMLElement).addEventListener("click", () => this.wishes?.again());
    this.#microphone.addEventListener("click", () => this.wishes?.microphone(!this.#meeting?.own.capture.speaks));
    this.#camera.addEventListener("click", () => this.wishes?.camera(this.#meeting?.own.capture.track("camera") === null));
    this.#relayOnly.addEventListener("change", () => this.wishes?.relayOnly(this.#relayOnly.checked));
    this.#fields.chosen = (kind, id) => this.wishes?.choose(kind, id);
  }

  /**
   * @param {Meeting} meeting
   * @param {{title: string, who: string, relayOnly: boolean, closable: boolean}} words
   */
  show(meeting, { title, who, relayOnly, closable }) {
    const shown = this.#meeting;
    this.#meeting = meeting;
    const { own: { capture }, phase, refusal, grants } = meeting;
    const connecting = phase === "connecting";
    this.hidden = phase !== "preview" && !connecting;
    showTrack(this.#video, this.hidden ? null : capture.track("camera"));
    if (this.hidden) return;
    this.#title.textContent = title;
    part(this, "[data-who]", HTMLElement).textContent = who;
    this.#close.hidden = !closable;
    this.#relayOnly.checked = relayOnly;
    part(this, "[data-relay]", HTMLElement).hidden = !meeting.hasRelay;
    this.#showEnter(connecting, grants.publish);
    this.#watch.hidden = connecting || !meeting.mayStillWatch;
    part(this, "[data-mirror]", HTMLElement).hidden = !grants.publish;
    this.#showMirror(meeting);
    this.#showProblem(meeting);
    this.#fields.show(meeting);
    part(this, "[data-refusal]", HTMLElement).textContent = connecting && !meeting.attendance.reachable
      ? "The server cannot be reached. Trying again…"
      : refusal;
    if (shown !== meeting) {
      this.#title.focus();
      this.#listen(meeting);
    }
  }

  /**
   * @param {boolean} connecting
   * @param {boolean} publishes
   */
  #showEnter(connecting, publishes) {
    this.#enter.textContent = connecting ? "Connecting…" : publishes ? "Join" : "Join and watch";
    this.#enter.setAttribute("aria-disabled", String(connecting));
  }

  /** @param {Meeting} meeting */
  #showMirror({ own: { capture } }) {
    const camera = capture.track("camera");
    const microphone = capture.track("microphone");
    toggle(this.#microphone, capture.speaks, capture.speaks ? "Turn your microphone off" : "Turn your microphone on");
    toggle(this.#camera, camera !== null, camera ? "Turn your camera off" : "Turn your camera on");
    this.#video.hidden = camera === null;
    this.#video.classList.toggle("mirrored", facesThePerson(camera));
    const off = part(this, "[data-off]", HTMLElement);
    off.hidden = camera !== null;
    off.textContent = "Your camera is off";
    this.#level.hidden = microphone === null;
  }

  /** @param {Meeting} meeting */
  #showProblem({ own: { capture }, grants }) {
    const problem = grants.publish ? wordsOf(capture.problems) : null;
    part(this, "[data-problem]", HTMLElement).hidden = problem === null;
    const title = part(this, "[data-problem-title]", HTMLElement);
    // It is an alert: the same words again would be read again.
    if (title.textContent !== (problem?.title ?? "")) title.textContent = problem?.title ?? "";
    const words = part(this, "[data-problem-words]", HTMLElement);
    if (words.textContent !== (problem?.words ?? "")) words.textContent = problem?.words ?? "";
    part(this, "[data-again]", HTMLElement).hidden = !problem?.again;
  }

  /** @param {Meeting} meeting */
  #listen(meeting) {
    if (meeting !== this.#meeting || this.hidden) return;
    const percent = Math.round(meeting.own.level(LEVEL_EVERY_MS) * 100);
    this.#level.style.setProperty("--level", String(percent / 100));
    this.#level.setAttribute("aria-valuenow", String(percent));
    setTimeout(() => this.#listen(meeting), LEVEL_EVERY_MS);
  }
}

/**
 * A camera at the back of a phone shows what is before it, and is no mirror.
 *
 * @param {MediaStreamTrack | null} track
 */
export const facesThePerson = (track) => track?.getSettings?.().facingMode !== "environment";

customElements.define("call-preview", CallPreview);
