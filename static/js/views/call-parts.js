// What the views of a call share.

/** @import { Devices, Kind } from "../call/capture.js" */
/** @import { Meeting } from "../call/meeting.js" */

import { part } from "./part.js";

/**
 * What a `<template>` holds, as a new element.
 *
 * @param {HTMLTemplateElement} template
 */
export function copyOf(template) {
  const fragment = /** @type {DocumentFragment} */ (template.content.cloneNode(true));
  return /** @type {HTMLElement} */ (fragment.firstElementChild);
}

/**
 * Show a track in a video element, or nothing. The same track is left alone: setting it anew would flicker.
 *
 * @param {HTMLMediaElement} element
 * @param {MediaStreamTrack | null} track
 */
export function showTrack(element, track) {
  const shown = element.srcObject instanceof MediaStream ? element.srcObject.getTracks()[0] : null;
  if (shown === track) return;
  element.srcObject = track ? new MediaStream([track]) : null;
}

/**
 * A button that is on or off, and says in words what pressing it does.
 *
 * @param {HTMLButtonElement} button
 * @param {boolean} on
 * @param {string} label
 */
export function toggle(button, on, label) {
  button.setAttribute("aria-pressed", String(on));
  if (button.title === label) return;
  button.title = label;
  button.setAttribute("aria-label", label);
}

const FIELDS = /** @type {const} */ ([
  ["microphones", "microphone"],
  ["cameras", "camera"],
  ["speakers", "speaker"],
]);
const CAN_CHOOSE_SPEAKER = "setSinkId" in HTMLMediaElement.prototype;

/** The lists of devices, wherever they stand. */
export class DeviceFields {
  #root;
  /** @type {(kind: Kind | "speaker", id: string) => void} */
  chosen = () => {};

  /** @param {HTMLElement} root */
  constructor(root) {
    this.#root = root;
    for (const [field, kind] of FIELDS) {
      const select = this.#select(field);
      select.addEventListener("change", () => this.chosen(kind, select.value));
    }
  }

  /** @param {Meeting} meeting */
  show({ own: { capture } }) {
    for (const [field, kind] of FIELDS) {
      const devices = capture.devices[field];
      const used = kind === "speaker" ? undefined : capture.track(kind)?.getSettings?.().deviceId;
      const usable = devices.length > 1 && (kind !== "speaker" || CAN_CHOOSE_SPEAKER);
      part(this.#root, `[data-${field}]`, HTMLElement).hidden = !usable;
      const select = this.#select(field);
      if (!sameOptions(select, devices)) {
        select.replaceChildren(...devices.map(({ id, label }) => new Option(label, id)));
      }
      const current = used ?? capture.chosen(kind);
      if (devices.some(({ id }) => id === current)) select.value = current;
    }
  }

  /** @param {keyof Devices} field */
  #select(field) {
    return part(this.#root, `[data-${field}] select`, HTMLSelectElement);
  }
}

/**
 * @param {HTMLSelectElement} select
 * @param {{id: string, label: string}[]} devices
 */
function sameOptions(select, devices) {
  const options = [...select.options];
  return (
    options.length === devices.length &&
    options.every((option, at) => option.value === devices[at].id && option.text === devices[at].label)
  );
}
