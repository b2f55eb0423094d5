// One call as it is shown: who is in it, what is received of whom, what this person sends. Pure state: no DOM, no
// socket, no peer connection; tracks are only carried through.
//
// The roster of an entry is authoritative: it replaces what was known. One exception: after the server was away, those
// whose media still arrive are kept for a while as reconnecting, because they are about to come back to the roster too.

/** @import { Entry, Participant, ParticipantNews, Source, State } from "./wire.js" */

import { Speakers } from "./speakers.js";

const MISSING_KEPT_MS = 20_000;

/** How the media of one participant are connected. */
/** @typedef {"connecting" | "connected" | "reconnecting" | "failed"} Link */

/**
 * One rectangle on the stage.
 *
 * @typedef {object} Tile
 * @property {string} key
 * @property {"person" | "screen"} kind
 * @property {Participant} participant
 * @property {boolean} mine
 * @property {MediaStreamTrack | null} video
 * @property {boolean} muted
 * @property {boolean} hand
 * @property {boolean} speaking
 * @property {"here" | "connecting" | "reconnecting" | "failed"} presence
 */

/** @typedef {Map<Source, MediaStreamTrack>} Media */

export class Call {
  /** @type {Participant | null} */
  #me = null;
  /** @type {Map<string, Participant>} The others, in the order in which they came. */
  #others = new Map();
  /** @type {Map<string, Link>} */
  #links = new Map();
  /** @type {Map<string, Media>} */
  #media = new Map();
  /** @type {Media} What this person sends. */
  #own = new Map();
  /** @type {Map<string, number>} Who is missing since when in the roster, though their media are connected. */
  #missing = new Map();
  #speakers = new Speakers();
  /** The tile that this person made large. @type {string | null} */
  #zoomed = null;
  /** @type {string[]} Keys of screens, the newest last. */
  #screens = [];
  since = 0;

  get me() {
    return this.#me;
  }

  get others() {
    return [...this.#others.values()];
  }

  /** Everybody who is in the call, this person too. */
  get count() {
    return this.#others.size + (this.#me ? 1 : 0);
  }

  /** Those who only watch: they have no tile. */
  get watchers() {
    return this.#everybody.filter(({ role }) => role === "subscriber");
  }

  /** @param {string} id */
  participant(id) {
    return this.#me?.id === id ? this.#me : (this.#others.get(id) ?? null);
  }

  /** @param {string} id */
  linkOf(id) {
    return this.#links.get(id) ?? "connecting";
  }

  /** What is heard: the sound of everybody's microphones and screens. @returns {MediaStreamTrack[]} */
  get sounds() {
    return [...this.#media.values()].flatMap((media) =>
      [media.get("microphone"), media.get("screen-audio")].filter((track) => track !== undefined),
    );
  }

  /** @returns {Tile[]} Screens first, then people: this person last, as in a mirror beside the others. */
  get tiles() {
    const publishers = this.#everybody.filter(({ role }) => role !== "subscriber");
    const screens = publishers.flatMap((person) => this.#screenTile(person) ?? []);
    return [...screens, ...publishers.map((person) => this.#personTile(person))];
  }

  /** The key of the tile that is large: the one that this person chose, else the newest screen of somebody else. */
  get focus() {
    if (this.#zoomed === "none") return null;
    const keys = new Set(this.tiles.map(({ key }) => key));
    if (this.#zoomed !== null && keys.has(this.#zoomed)) return this.#zoomed;
    return this.#screens.findLast((key) => keys.has(key) && key !== this.#keyOfOwnScreen) ?? null;
  }

  /**
   * Take in the answer of a join.
   *
   * @param {Entry} entry
   * @param {number} now
   * @returns {Participant[]} Who has gone meanwhile.
   */
  entered({ participant, participants, call }, now) {
    const before = this.#others;
    const again = this.#me !== null;
    this.#me = participant;
    this.since = call.since;
    this.#others = new Map(participants.map((other) => [other.id, other]));
    for (const id of this.#others.keys()) this.#missing.delete(id);
    const gone = [];
    for (const [id, other] of before) {
      if (this.#others.has(id)) continue;
      if (again && this.linkOf(id) === "connected") {
        this.#others.set(id, { ...other, state: "reconnecting" });
        this.#missing.set(id, this.#missing.get(id) ?? now);
      } else {
        this.#forget(id);
        gone.push(other);
      }
    }
    return gone;
  }

  /**
   * Take in what the server tells of one participant.
   *
   * @param {ParticipantNews} news
   */
  heard({ change, participant }) {
    const { id } = participant;
    if (id === this.#me?.id) {
      if (change !== "left") this.#me = participant;
      return;
    }
    this.#missing.delete(id);
    if (change === "left") this.#forget(id);
    else this.#others.set(id, change === "reconnecting" ? { ...participant, state: "reconnecting" } : participant);
  }

  /**
   * Let go of those who did not come back to the roster.
   *
   * @param {number} now
   * @returns {Participant[]}
   */
  sweep(now) {
    const gone = [];
    for (const [id, since] of [...this.#missing]) {
      if (now - since < MISSING_KEPT_MS && this.linkOf(id) === "connected") continue;
      const other = this.#others.get(id);
      if (other) gone.push(other);
      this.#forget(id);
    }
    return gone;
  }

  /**
   * @param {string} id
   * @param {Link} link
   */
  linked(id, link) {
    if (this.#others.has(id)) this.#links.set(id, link);
  }

  /**
   * Take in that a track of somebody else comes, or ends.
   *
   * @param {string} id
   * @param {Source} source
   * @param {MediaStreamTrack | null} track
   */
  received(id, source, track) {
    const media = this.#media.get(id) ?? new Map();
    this.#media.set(id, media);
    this.#note(media, keyOfScreen(id), source, track);
  }

  /**
   * Take in what this person sends.
   *
   * @param {Source} source
   * @param {MediaStreamTrack | null} track
   */
  sends(source, track) {
    this.#note(this.#own, this.#keyOfOwnScreen, source, track);
  }

  /** Take in what others see of this person from now on. @param {State} state */
  meNow(state) {
    if (this.#me) this.#me = { ...this.#me, ...state };
  }

  /** @param {Source} source */
  isSending(source) {
    return this.#own.has(source);
  }

  /**
   * @param {Iterable<[string, number]>} levels
   * @param {number} now
   */
  levels(levels, now) {
    return this.#speakers.heard(levels, now);
  }

  /**
   * Make a tile large, or no tile if it is already.
   *
   * @param {string} key
   */
  zoom(key) {
    this.#zoomed = this.focus === key ? "none" : key;
  }

  get #everybody() {
    return this.#me ? [...this.#others.values(), this.#me] : [...this.#others.values()];
  }

  get #keyOfOwnScreen() {
    return keyOfScreen(this.#me?.id ?? "");
  }

  /**
   * @param {Media} media
   * @param {string} screen
   * @param {Source} source
   * @param {MediaStreamTrack | null} track
   */
  #note(media, screen, source, track) {
    if (track) media.set(source, track);
    else media.delete(source);
    if (source !== "screen") return;
    this.#screens = this.#screens.filter((key) => key !== screen);
    if (track) this.#screens.push(screen);
    // A new screen is looked at, whatever was chosen before; a choice of a screen that ended is over.
    if (track ? screen !== this.#keyOfOwnScreen : this.#zoomed === screen) this.#zoomed = null;
  }

  /** @param {string} id */
  #forget(id) {
    this.#others.delete(id);
    this.#links.delete(id);
    this.#media.delete(id);
    this.#missing.delete(id);
    this.#speakers.forget(id);
    this.#screens = this.#screens.filter((key) => key !== keyOfScreen(id));
  }

  /** @param {Participant} participant */
  #mediaOf(participant) {
    return participant.id === this.#me?.id ? this.#own : this.#media.get(participant.id);
  }

  /**
   * @param {Participant} participant
   * @returns {Tile | null}
   */
  #screenTile(participant) {
    const video = this.#mediaOf(participant)?.get("screen");
    const mine = participant.id === this.#me?.id;
    if (!video || !(mine || participant.screen)) return null;
    return {
      key: keyOfScreen(participant.id),
      kind: "screen",
      participant,
      mine,
      video,
      muted: false,
      hand: false,
      speaking: false,
      presence: this.#presenceOf(participant),
    };
  }

  /**
   * @param {Participant} participant
   * @returns {Tile}
   */
  #personTile(participant) {
    const { id, audio, video, hand } = participant;
    const mine = id === this.#me?.id;
    return {
      key: id,
      kind: "person",
      participant,
      mine,
      video: mine || video ? (this.#mediaOf(participant)?.get("camera") ?? null) : null,
      muted: !audio,
      hand,
      speaking: audio && this.#speakers.speaking.has(id),
      presence: this.#presenceOf(participant),
    };
  }

  /**
   * @param {Participant} participant
   * @returns {Tile["presence"]}
   */
  #presenceOf({ id, state }) {
    const link = this.linkOf(id);
    // Media that arrive say more than a roster that has not heard of somebody for a moment.
    if (id === this.#me?.id || link === "connected") return "here";
    return link === "connecting" && state === "reconnecting" ? "reconnecting" : link;
  }
}

/** @param {string} id */
const keyOfScreen = (id) => `${id}/screen`;
