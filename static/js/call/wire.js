// The shapes of the wire of calls, `/calls`. Types only: nothing here acts.

/** @typedef {"microphone" | "camera" | "screen" | "screen-audio"} Source */
/** @typedef {"subscriber" | "publisher" | "moderator"} Role */

/**
 * @typedef {object} Participant
 * @property {string} id         Not a connection's: it outlives them.
 * @property {string} account
 * @property {string} name
 * @property {boolean} verified
 * @property {Role} role
 * @property {boolean} audio     Whether it is heard, as it says.
 * @property {boolean} video
 * @property {boolean} screen
 * @property {boolean} hand      Raised.
 * @property {"here" | "reconnecting"} state
 * @property {number} joined_at
 */

/** @typedef {{people: number, width: number, height: number, frame_rate: number, bitrate: number}} Quality */

/** `ends_at`: when the relay's credentials are over, in ms since 1970; null where there is no relay. */
/** @typedef {{servers: RTCIceServer[], ends_at: number | null}} Ice */

/**
 * @typedef {object} Entry
 * @property {Participant} participant
 * @property {Participant[]} participants  The others.
 * @property {CallFacts} call
 * @property {"mesh" | "sfu"} engine
 * @property {Ice} ice
 * @property {{people: number, publishers: number, video: Quality[]}} limits
 * @property {{publish: boolean, screen: boolean, moderate: boolean}} grants
 * @property {string} resume
 */

/** @typedef {{id: string, since: number, locked: boolean}} CallFacts */
/** @typedef {{audio?: boolean, video?: boolean, screen?: boolean, hand?: boolean}} State */
/** @typedef {{mid: string, source: Source}} Track */

/**
 * @typedef {object} Signal
 * @property {string} from
 * @property {RTCSessionDescriptionInit} [description]
 * @property {RTCIceCandidateInit | null} [candidate]
 * @property {Track[]} [tracks]
 */

/** What this participant receives through the server: all of it, each time. */
/** @typedef {Track & {participant: string}} Line */
/** @typedef {{seq: number, offer: RTCSessionDescriptionInit, tracks: Line[]}} Offered */
/** @typedef {{state: "lost" | "reset"}} MediaNews */

/** @typedef {"joined" | "changed" | "reconnecting" | "left"} Change */
/** @typedef {{change: Change, participant: Participant, reason?: string}} ParticipantNews */
/** @typedef {{action: "mute" | "unpublish" | "kick", source?: Source, by?: {id: string, name: string}}} Moderated */
/** @typedef {{reason: string, by?: {id: string, name: string}}} Ended */

/** What `/chat` says of a room's call: not everybody is named in a crowd. */
/** @typedef {{since: number, locked: boolean, count: number, people: {id: string, name: string}[]}} CallInRoom */

export {};
