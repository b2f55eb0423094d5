// What both engines need to know of peer connections.
//
// A page that begins a call is busy, and so is its machine. Whatever is done or told once too often then, or waited for one
// after another, is seconds until people see each other.

/** @import { Route, Trouble } from "./engine.js" */
/** @import { Source } from "./wire.js" */

/**
 * Everything goes by one transport: every browser, and Janus, can do that. One that is not told so opens sockets and finds
 * candidates for each line, until it hears from the other side.
 *
 * @type {Pick<RTCConfiguration, "bundlePolicy">}
 */
export const BUNDLED = { bundlePolicy: "max-bundle" };

/**
 * Whether it helps the other side to be told of a candidate. One that only calls by TCP is never called: whoever could take
 * its call tries no way from there, and learns of it when the call comes (RFC 6544, 6.2 and 7.2).
 *
 * @param {Pick<RTCIceCandidateInit, "candidate">} candidate
 */
export const isWorthTelling = ({ candidate = "" }) => !/ tcptype active( |$)/i.test(candidate);

/**
 * The names of the lines that a description has, in their order (RFC 9143, 7.1: each line has a mid).
 *
 * @param {string | undefined} sdp
 */
export const midsOf = (sdp) => [...(sdp ?? "").matchAll(/^a=mid:(\S+)/gm)].map(([, mid]) => mid);

/** @typedef {{energy: number, seconds: number}} Played */

/** @param {Source} source */
export const kindOf = (source) => (source === "camera" || source === "screen" ? "video" : "audio");

/**
 * Which peer connection a description is of, and how many descriptions of it there were before (RFC 8866, 5.2: the
 * origin's session id and version; browsers count with every offer and answer that they make).
 *
 * @param {string | undefined} sdp
 */
export function originOf(sdp) {
  const [, session = "", version = "0"] = sdp?.match(/^o=\S+ (\S+) (\d{1,20}) /m) ?? [];
  return { session, version: BigInt(version) };
}

/**
 * How loud what is received is: over all the time since it was last looked at, so that no short word falls between two
 * looks. The browser adds up energy and time of what it plays (https://www.w3.org/TR/webrtc-stats/, totalAudioEnergy).
 */
export class Loudness {
  /** What was played when it was last looked at. @type {WeakMap<RTCRtpReceiver, Played>} */
  #before = new WeakMap();

  /**
   * @param {RTCPeerConnection | undefined | null} connection
   * @param {MediaStreamTrack | undefined} track
   * @returns {Promise<number>} From 0 to 1.
   */
  async of(connection, track) {
    const receiver = connection?.getReceivers().find((each) => each.track === track);
    if (!receiver) return 0;
    /** @type {any[]} */
    const stats = [...(await receiver.getStats()).values()];
    const { totalAudioEnergy: energy = 0, totalSamplesDuration: seconds = 0 } =
      stats.find(({ type }) => type === "inbound-rtp") ?? {};
    const known = this.#before.get(receiver);
    this.#before.set(receiver, { energy, seconds });
    // A stream that begins anew counts from nothing again.
    const before = known && known.seconds <= seconds ? known : { energy: 0, seconds: 0 };
    return seconds > before.seconds ? Math.sqrt((energy - before.energy) / (seconds - before.seconds)) : 0;
  }
}

/**
 * How far a connection has come, for whoever asks why it is begun anew.
 *
 * @param {RTCPeerConnection} connection
 */
export const standOf = ({ signalingState, iceGatheringState, iceConnectionState, connectionState }) =>
  `signaling ${signalingState}, gathering ${iceGatheringState}, ICE ${iceConnectionState}, all in all ${connectionState}`;

/**
 * What a failure to find a candidate says of the relay, if anything.
 *
 * @param {RTCPeerConnectionIceErrorEvent} error
 * @returns {Trouble | null}
 */
export function troubleOf({ errorCode, url }) {
  if (!url?.startsWith("turn")) return null;
  return errorCode === 701 ? "relay-unreachable" : "relay-refused";
}

/**
 * Send no more than this on a line, if anything is sent on it.
 *
 * @param {RTCRtpTransceiver | undefined} transceiver
 * @param {number | undefined} maxBitrate
 * @param {number} [maxFramerate]
 */
export async function limitTo(transceiver, maxBitrate, maxFramerate) {
  const sender = transceiver?.sender;
  const parameters = sender?.getParameters();
  const [encoding] = parameters?.encodings ?? [];
  if (!sender || !parameters || !encoding || maxBitrate === undefined) return;
  if (encoding.maxBitrate === maxBitrate && encoding.maxFramerate === maxFramerate) return;
  encoding.maxBitrate = maxBitrate;
  if (maxFramerate !== undefined) encoding.maxFramerate = maxFramerate;
  await sender.setParameters(parameters);
}

/**
 * Which way a connection goes, if it does.
 *
 * @param {string} id
 * @param {RTCPeerConnection} connection
 * @returns {Promise<Route | null>}
 */
export async function routeOf(id, connection) {
  /** @type {any[]} */
  const stats = [...(await connection.getStats()).values()];
  const transport = stats.find(({ type }) => type === "transport");
  const pair = stats.find((stat) => stat.id === transport?.selectedCandidatePairId);
  const local = stats.find((stat) => stat.id === pair?.localCandidateId);
  const remote = stats.find((stat) => stat.id === pair?.remoteCandidateId);
  if (!local || !remote) return null;
  const { currentRoundTripTime: seconds } = pair;
  return {
    id,
    local: local.candidateType,
    remote: remote.candidateType,
    protocol: local.relayProtocol ?? local.protocol,
    ms: seconds === undefined ? null : Math.round(seconds * 1_000),
  };
}
