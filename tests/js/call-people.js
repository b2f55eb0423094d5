// Participants and entries for the tests of calls.

/** @import { Entry, Participant } from "../../static/js/call/wire.js" */

/**
 * @param {string} id
 * @param {Partial<Participant>} [facts]
 * @returns {Participant}
 */
export function participant(id, facts = {}) {
  return {
    id,
    account: `account-${id}`,
    name: id[0].toUpperCase() + id.slice(1),
    verified: false,
    role: "publisher",
    audio: true,
    video: true,
    screen: false,
    hand: false,
    state: "here",
    joined_at: 1_000,
    ...facts,
  };
}

/**
 * What the server answers to a join.
 *
 * @param {Participant} me
 * @param {Participant[]} others
 * @param {Partial<Entry>} [facts]
 * @returns {Entry}
 */
export function entry(me, others, facts = {}) {
  return {
    participant: me,
    participants: others,
    call: { id: "call", since: 1_000, locked: false },
    engine: "mesh",
    ice: { servers: [], ends_at: null },
    limits: {
      people: 8,
      publishers: 6,
      video: [
        { people: 2, width: 640, height: 480, frame_rate: 24, bitrate: 600_000 },
        { people: 6, width: 320, height: 240, frame_rate: 15, bitrate: 150_000 },
      ],
    },
    grants: { publish: true, screen: true, moderate: false },
    resume: "key",
    ...facts,
  };
}

/** As much of a track as state needs. */
export class Track {
  enabled = true;
  stopped = false;
  label;
  kind;
  contentHint = "";
  /** @type {Map<string, () => void>} */
  #listeners = new Map();

  /**
   * @param {"audio" | "video"} kind
   * @param {string} [label]
   */
  constructor(kind, label = kind) {
    this.kind = kind;
    this.label = label;
  }

  /**
   * @param {string} event
   * @param {() => void} listener
   */
  addEventListener(event, listener) {
    this.#listeners.set(event, listener);
  }

  stop() {
    this.stopped = true;
  }

  getSettings() {
    return {};
  }

  async applyConstraints() {}

  /** The device goes, or the person ends it in the browser's own bar. */
  ends() {
    this.#listeners.get("ended")?.();
  }

  /** @returns {any} */
  get asTrack() {
    return this;
  }
}
