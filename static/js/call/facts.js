// What can be read off a peer connection, whichever engine has made it.

/** @import { Route, Trouble } from "./engine.js" */

/**
 * The name of the peer connection that a description is of (RFC 8866, 5.2: the origin's session id).
 *
 * @param {string | undefined} sdp
 */
export const sessionOf = (sdp) => sdp?.match(/^o=\S+ (\S+)/m)?.[1] ?? "";

/**
 * How loud a track is that comes by a connection, from 0 to 1.
 *
 * @param {RTCPeerConnection | null} connection
 * @param {MediaStreamTrack | undefined} track
 */
export function loudnessOf(connection, track) {
  const receiver = connection?.getReceivers().find((each) => each.track === track);
  const [newest] = receiver?.getSynchronizationSources() ?? [];
  return newest?.audioLevel ?? 0;
}

/**
 * @param {string} id  Whom it leads to.
 * @param {RTCPeerConnection | null} connection
 * @returns {Promise<Route | null>}
 */
export async function routeOf(id, connection) {
  const report = await connection?.getStats();
  /** @type {any[]} */
  const stats = report ? [...report.values()] : [];
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
