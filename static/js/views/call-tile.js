// One tile of the stage: a person's picture or a screen, its name, and what is to know about it.

/** @import { Tile } from "../call/call.js" */
/** @import { Box } from "../call/layout.js" */

import { hueOf, initialsOf } from "../words.js";
import { copyOf, showTrack } from "./call-parts.js";
import { facesThePerson } from "./call-preview.js";
import { part } from "./part.js";

const STATE_WORDS = {
  here: "",
  connecting: "Connecting…",
  reconnecting: "Reconnecting…",
  failed: "No connection.",
};

/** @typedef {{zoom: (key: string) => void, why: () => void}} Wishes */

export class CallTile {
  #key;
  /** @type {HTMLElement} */
  element;
  #video;
  #zoom;
  #full;
  #state;
  /** @type {Tile | null} */
  #shown = null;

  /**
   * @param {HTMLTemplateElement} template
   * @param {string} key
   * @param {Wishes} wishes
   */
  constructor(template, key, wishes) {
    this.#key = key;
    this.element = copyOf(template);
    this.#video = part(this.element, "video", HTMLVideoElement);
    this.#zoom = part(this.element, "[data-zoom]", HTMLButtonElement);
    this.#full = part(this.element, "[data-full]", HTMLButtonElement);
    this.#state = part(this.element, "[data-state]", HTMLElement);
    this.#zoom.addEventListener("click", () => wishes.zoom(this.#key));
    this.#full.addEventListener("click", () => void this.#fill());
    part(this.element, "[data-why]", HTMLElement).addEventListener("click", () => wishes.why());
    this.#full.hidden = !document.fullscreenEnabled;
  }

  get shown() {
    return this.#shown;
  }

  /**
   * @param {Tile} tile
   * @param {boolean} large
   */
  show(tile, large) {
    const { kind, participant, mine, video, muted, hand, speaking, presence } = tile;
    const element = this.element;
    const whose = mine ? "You" : participant.name;
    const name = kind === "screen" ? (mine ? "Your screen" : `${participant.name}’s screen`) : whose;
    element.dataset.kind = kind;
    element.dataset.participant = participant.id;
    element.dataset.presence = presence;
    element.classList.toggle("tile-mine", mine);
    element.classList.toggle("tile-large", large);
    element.classList.toggle("tile-speaking", speaking);
    element.classList.toggle("tile-muted", kind === "person" && muted);
    element.classList.toggle("tile-dark", video === null);
    this.#video.classList.toggle("mirrored", mine && kind === "person" && facesThePerson(video));
    showTrack(this.#video, video);
    const avatar = part(element, ".avatar", HTMLElement);
    avatar.textContent = initialsOf(participant.name);
    avatar.style.setProperty("--hue", String(hueOf(participant.account)));
    part(element, "[data-name]", HTMLElement).textContent = name;
    part(element, "[data-hand]", HTMLElement).hidden = !hand;
    this.#state.hidden = presence === "here";
    part(this.#state, "span", HTMLElement).textContent = STATE_WORDS[presence];
    part(this.#state, "[data-why]", HTMLElement).hidden = presence !== "failed";
    const facts = [
      kind === "person" && muted && "muted",
      kind === "person" && !video && "camera off",
      hand && "hand raised",
      STATE_WORDS[presence].replace(/\W+$/u, "").toLowerCase(),
    ].filter(Boolean);
    label(this.#zoom, `${large ? "Make smaller" : "Enlarge"}: ${[name, ...facts].join(", ")}`);
    label(this.#full, `Full screen: ${name}`);
    this.#full.title = "Full screen";
    this.#shown = tile;
  }

  /** @param {Box} box */
  place({ x, y, width, height }) {
    const { style } = this.element;
    style.setProperty("--x", `${x}px`);
    style.setProperty("--y", `${y}px`);
    style.setProperty("--width", `${width}px`);
    style.setProperty("--height", `${height}px`);
    this.element.classList.toggle("tile-small", width < 200 || height < 120);
  }

  async #fill() {
    if (document.fullscreenElement) await document.exitFullscreen();
    else await this.element.requestFullscreen();
  }
}

/**
 * @param {HTMLElement} element
 * @param {string} words
 */
function label(element, words) {
  if (element.getAttribute("aria-label") !== words) element.setAttribute("aria-label", words);
}
