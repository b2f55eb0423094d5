// The stage of a call: the tiles where the layout puts them, the sound of everybody, and short news.

/** @import { Meeting } from "../call/meeting.js" */

import { arrange } from "../call/layout.js";
import { counted } from "../words.js";
import { showTrack } from "./call-parts.js";
import { CallTile } from "./call-tile.js";
import { part } from "./part.js";

const TOAST_SHOWN_MS = 5_000;
const TOASTS = 3;
const CLOCK_EVERY_MS = 1_000;

/** @typedef {{zoom: (key: string) => void, why: () => void, watched: (widths: Map<string, number>) => void}} Wishes */

export class CallStage extends HTMLElement {
  /** @type {Wishes | null} */
  wishes = null;

  #list = part(this, "[data-tiles]", HTMLElement);
  #template = part(this, "[data-tile]", HTMLTemplateElement);
  #sounds = part(this, "[data-sounds]", HTMLElement);
  #warning = part(this, "[data-warning]", HTMLElement);
  #listen = part(this, "[data-listen]", HTMLButtonElement);
  #toasts = part(this, "[data-toasts]", HTMLElement);
  /** @type {Map<string, CallTile>} */
  #tiles = new Map();
  /** @type {Map<MediaStreamTrack, HTMLAudioElement>} */
  #players = new Map();
  #focus = -1;
  #since = 0;

  constructor() {
    super();
    this.#listen.addEventListener("click", () => void this.#playAll());
    new ResizeObserver(() => this.#place()).observe(this.#list);
    setInterval(() => this.#showTime(), CLOCK_EVERY_MS);
  }

  /**
   * @param {Meeting} meeting
   * @param {string} room  What it is called.
   */
  show(meeting, room) {
    this.hidden = meeting.phase !== "in";
    const { call, own: { capture } } = meeting;
    this.#showSounds(this.hidden ? [] : call.sounds, capture.chosen("speaker"));
    const tiles = this.hidden ? [] : call.tiles;
    const focus = this.hidden ? null : call.focus;
    this.#showTiles(tiles, focus);
    if (this.hidden) return;
    this.#since = call.since;
    this.#showTime();
    part(this, "[data-room]", HTMLElement).textContent = room;
    const watching = call.watchers.length;
    part(this, "[data-count]", HTMLElement).textContent =
      counted(call.count, "participant", "participants") + (watching > 0 ? `, ${watching} watching` : "");
    const warning = warningOf(meeting);
    this.#warning.hidden = warning === "";
    if (this.#warning.textContent !== warning) this.#warning.textContent = warning;
  }

  /** @param {string} words */
  tell(words) {
    const toast = document.createElement("p");
    toast.textContent = words;
    this.#toasts.append(toast);
    if (this.#toasts.childElementCount > TOASTS) this.#toasts.firstElementChild?.remove();
    setTimeout(() => toast.remove(), TOAST_SHOWN_MS);
  }

  /**
   * @param {import("../call/call.js").Tile[]} tiles
   * @param {string | null} focus
   */
  #showTiles(tiles, focus) {
    const wanted = new Set(tiles.map(({ key }) => key));
    for (const [key, tile] of this.#tiles) {
      if (wanted.has(key)) continue;
      showTrack(part(tile.element, "video", HTMLVideoElement), null);
      tile.element.remove();
      this.#tiles.delete(key);
    }
    /** @type {Map<string, CallTile>} */
    const ordered = new Map();
    for (const each of tiles) {
      const wishes = { zoom: (/** @type {string} */ key) => this.wishes?.zoom(key), why: () => this.wishes?.why() };
      const tile = this.#tiles.get(each.key) ?? new CallTile(this.#template, each.key, wishes);
      tile.show(each, each.key === focus);
      ordered.set(each.key, tile);
    }
    this.#tiles = ordered;
    this.#focus = tiles.findIndex(({ key }) => key === focus);
    // An element that moves in the document loses its focus and its full screen: only what is new is put in.
    let next = this.#list.firstElementChild;
    for (const { element } of ordered.values()) {
      if (element === next) next = next.nextElementSibling;
      else this.#list.insertBefore(element, next);
    }
    this.#place();
  }

  #place() {
    const { clientWidth: width, clientHeight: height } = this.#list;
    if (width === 0 || height === 0) return;
    const gap = width < 600 ? 8 : 12;
    const boxes = arrange(this.#tiles.size, { width, height }, { gap, focus: this.#focus });
    for (const [at, tile] of [...this.#tiles.values()].entries()) tile.place(boxes[at]);
    this.wishes?.watched(new Map([...this.#tiles.keys()].map((key, at) => [key, boxes[at].width])));
  }

  /**
   * @param {MediaStreamTrack[]} tracks
   * @param {string} speaker
   */
  #showSounds(tracks, speaker) {
    for (const [track, player] of this.#players) {
      if (tracks.includes(track)) continue;
      player.srcObject = null;
      player.remove();
      this.#players.delete(track);
    }
    for (const track of tracks) {
      const player = this.#players.get(track) ?? this.#newPlayer(track);
      if ("setSinkId" in player && player.sinkId !== speaker && player.dataset.speaker !== speaker) {
        player.dataset.speaker = speaker;
        // A loudspeaker that is gone: the usual one goes on.
        player.setSinkId(speaker).catch(() => this.tell("This loudspeaker cannot be used."));
      }
    }
    if (tracks.length === 0) this.#listen.hidden = true;
  }

  /** @param {MediaStreamTrack} track */
  #newPlayer(track) {
    const player = document.createElement("audio");
    player.srcObject = new MediaStream([track]);
    this.#players.set(track, player);
    this.#sounds.append(player);
    void this.#play(player);
    return player;
  }

  /** @param {HTMLAudioElement} player */
  async #play(player) {
    try {
      await player.play();
    } catch (error) {
      const { name } = /** @type {Error} */ (error);
      // An element that was taken out again meanwhile is no reason to ask.
      if (name === "NotAllowedError" && player.isConnected) this.#listen.hidden = false;
    }
  }

  async #playAll() {
    this.#listen.hidden = true;
    await Promise.all([...this.#players.values()].map((player) => this.#play(player)));
  }

  #showTime() {
    if (this.hidden || this.#since === 0) return;
    const seconds = Math.max(0, Math.floor((Date.now() - this.#since) / 1_000));
    const [h, m, s] = [Math.floor(seconds / 3_600), Math.floor(seconds / 60) % 60, seconds % 60];
    const two = (/** @type {number} */ number) => String(number).padStart(2, "0");
    part(this, "[data-time]", HTMLElement).textContent = h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
  }
}

/**
 * What everybody in the call should know about the connection.
 *
 * @param {Meeting} meeting
 */
function warningOf({ attendance: { reachable }, troubles, call }) {
  const apart = call.others.some(({ id }) => call.linkOf(id) !== "connected");
  if (!reachable && !apart) return "The server is out of reach. You still see and hear each other; coming back…";
  if (!reachable) return "The server is out of reach. Coming back…";
  if (apart && troubles.has("media-lost")) return "Pictures and sound have stopped. The server is bringing them back…";
  if (apart && troubles.has("relay-refused")) return "The relay refuses this server’s credentials. Trying without it.";
  if (apart && troubles.has("relay-unreachable")) return "The relay does not answer. Trying without it.";
  return "";
}

customElements.define("call-stage", CallStage);
