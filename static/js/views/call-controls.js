// The buttons of a call, and its keys: they act while the focus is in the call, never while somebody writes.

/** @import { Meeting } from "../call/meeting.js" */

import { counted } from "../words.js";
import { toggle } from "./call-parts.js";
import { part } from "./part.js";

/**
 * @typedef {object} Wishes
 * @property {(on: boolean) => void} microphone
 * @property {(on: boolean) => void} camera
 * @property {(on: boolean) => void} screen
 * @property {() => void} hand
 * @property {() => void} people
 * @property {() => void} chat
 * @property {() => void} settings
 * @property {() => void} leave
 */

const CAN_SHARE = typeof navigator.mediaDevices?.getDisplayMedia === "function";

export class CallControls extends HTMLElement {
  /** @type {Wishes | null} */
  wishes = null;

  #microphone = this.#button("[data-microphone]");
  #camera = this.#button("[data-camera]");
  #screen = this.#button("[data-screen]");
  #hand = this.#button("[data-raise]");
  #people = this.#button("[data-people]");
  #chat = this.#button("[data-chat]");
  #unread = part(this, "[data-unread]", HTMLElement);
  /** @type {Meeting | null} */
  #meeting = null;

  constructor() {
    super();
    this.#microphone.addEventListener("click", () => this.wishes?.microphone(!this.#meeting?.own.capture.speaks));
    this.#camera.addEventListener("click", () => this.wishes?.camera(this.#meeting?.own.capture.track("camera") === null));
    this.#screen.addEventListener("click", () => this.wishes?.screen(!this.#meeting?.own.sharing));
    this.#hand.addEventListener("click", () => this.wishes?.hand());
    this.#people.addEventListener("click", () => this.wishes?.people());
    this.#chat.addEventListener("click", () => this.wishes?.chat());
    this.#button("[data-settings]").addEventListener("click", () => this.wishes?.settings());
    this.#button("[data-leave-call]").addEventListener("click", () => this.wishes?.leave());
    this.addEventListener("keydown", (event) => this.#walk(event));
  }

  /**
   * @param {Meeting} meeting
   * @param {{open: boolean, unread: number} | null} chat  Null where there is none.
   */
  show(meeting, chat) {
    this.#meeting = meeting;
    this.hidden = meeting.phase !== "in";
    if (this.hidden) return;
    const { grants, call } = meeting;
    const { capture, sharing, hand, whispering } = meeting.own;
    const { speaks } = capture;
    const camera = capture.track("camera") !== null;
    for (const button of [this.#microphone, this.#camera]) button.hidden = !grants.publish;
    this.#screen.hidden = !grants.screen || !CAN_SHARE;
    toggle(this.#microphone, speaks, speaks && !whispering ? "Mute" : "Unmute, or hold the space bar to talk");
    toggle(this.#camera, camera, camera ? "Turn your camera off" : "Turn your camera on");
    toggle(this.#screen, sharing, sharing ? "Stop sharing your screen" : "Share your screen");
    toggle(this.#hand, hand, hand ? "Lower your hand" : "Raise your hand");
    const words = counted(call.count, "participant", "participants");
    this.#people.title = words;
    this.#people.setAttribute("aria-label", words);
    part(this, "[data-people-number]", HTMLElement).textContent = String(call.count);
    this.#chat.hidden = chat === null;
    if (chat) {
      const unread = chat.open ? 0 : chat.unread;
      const label = chat.open ? "Hide the chat" : unread > 0 ? `Show the chat, ${unread} unread` : "Show the chat";
      toggle(this.#chat, chat.open, label);
      this.#unread.hidden = unread === 0;
      this.#unread.textContent = unread > 99 ? "99+" : String(unread);
    }
  }

  focusMicrophone() {
    (this.#microphone.hidden ? this.#hand : this.#microphone).focus();
  }

  /**
   * In a toolbar the arrows go from button to button (ARIA Authoring Practices).
   *
   * @param {KeyboardEvent} event
   */
  #walk(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const buttons = [...this.querySelectorAll("button")].filter(({ hidden }) => !hidden);
    const at = buttons.findIndex((button) => button === document.activeElement);
    if (step === undefined || at < 0) return;
    event.preventDefault();
    buttons[(at + step + buttons.length) % buttons.length].focus();
  }

  /** @param {string} selector */
  #button(selector) {
    return part(this, selector, HTMLButtonElement);
  }
}

customElements.define("call-controls", CallControls);
