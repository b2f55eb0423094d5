// What carries the media of a call: one small interface, whichever engine the server runs. The roster, the stage and
// their tests know nothing more of an engine than this.

/** @import { Result } from "../protocol.js" */
/** @import { Link } from "./call.js" */
/** @import { Entry, Ice, Participant, Quality, Source, Track } from "./wire.js" */

/**
 * @typedef {object} Engine
 * @property {(entry: Entry) => void} entered
 *   After every join, a resumed one too: whom there is to be connected with. What works is left alone.
 * @property {(participant: Participant) => void} joined
 * @property {(id: string) => void} left
 * @property {(event: "signal" | "offer" | "media", told: object) => void} told
 *   What the server says that is for this engine alone.
 * @property {(source: Source, track: MediaStreamTrack | null) => void} publish
 *   Send this track from now on, in place of the one before; with null, nothing.
 * @property {(ice: Ice) => void} relays        Fresh credentials.
 * @property {(quality: Quality) => void} limit How much to send of a camera.
 * @property {(widths: ReadonlyMap<string, number>) => void} [watched]
 *   How wide each person is shown here, for an engine that can fetch a smaller picture.
 * @property {() => Promise<Iterable<[string, number]>>} levels
 *   How loud the others have been since this was last asked, from 0 to 1.
 * @property {() => Promise<Route[]>} routes    Which way the media go, for those who ask why it does not work.
 * @property {() => void} close
 */

/**
 * @typedef {object} EngineListener
 * @property {(id: string, source: Source, track: MediaStreamTrack | null) => void} received
 * @property {(id: string, link: Link) => void} linked
 * @property {(trouble: Trouble) => void} trouble
 */

/**
 * @typedef {object} EngineWorld
 * @property {(to: string, body: {description?: RTCSessionDescriptionInit, candidate?: RTCIceCandidateInit | null, tracks?: Track[]}) => Promise<boolean>} send
 *   Pass a signal on; false: it did not arrive.
 * @property {(event: string, question: object) => Promise<Result<any>>} ask
 * @property {() => Promise<Ice | null>} ice    Ask for fresh credentials.
 * @property {(config: RTCConfiguration) => RTCPeerConnection} connect
 * @property {EngineListener} listener
 * @property {(run: () => void, ms: number) => unknown} later
 */

/** Who stands in the way: the relay refuses the credentials, or does not answer; or what carries media has failed. */
/** @typedef {"relay-refused" | "relay-unreachable" | "media-lost"} Trouble */

/** By which way the media go to a participant; `id` is empty where they go to the server. */
/** @typedef {{id: string, local: string, remote: string, protocol: string, ms: number | null}} Route */

/** How much one screen may take; text has to be sharp, and need not be smooth. */
export const SCREEN_BITRATE = 1_500_000;

/**
 * The quality for a call of so many: the steps are ascending by people, the last one holds for all above.
 *
 * @param {Quality[]} steps
 * @param {number} people
 * @returns {Quality | undefined}
 */
export const qualityFor = (steps, people) => steps.find((step) => people <= step.people) ?? steps.at(-1);
