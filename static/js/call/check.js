// The connection check: step by step, what a call needs, and in words what is in the way. It sends and receives, through
// the relay too, rather than believe a setting.

/** @import { Ice } from "./wire.js" */

const WITHIN_MS = 6_000;
const SLOW_MS = 400;

/** @typedef {"running" | "good" | "so-so" | "bad"} State */
/** @typedef {{key: string, title: string, state: State, words: string}} Step */

/**
 * @typedef {object} World
 * @property {boolean} secure
 * @property {() => Promise<{microphones: number, cameras: number, refused: boolean}>} devices
 * @property {() => Promise<number | null>} ping   How long the server took to answer a question, in ms.
 * @property {() => Promise<Ice | null>} ice
 * @property {(config: RTCConfiguration) => RTCPeerConnection} connect
 * @property {(step: Step) => void} report
 */

const WITHOUT_HTTPS = "Without https:// a browser lends no camera and no microphone. Everything else works.";
const KEPT = "The browser keeps them from this page: allow them in the address bar.";
const OUTSIDE = "Within one network. From outside, the relay is needed.";
const NO_RELAY = "This server has none. People in different networks may not reach each other.";
const REFUSED = "It refuses this server’s credentials. Whoever runs the server has to compare the secrets.";
/** The codes of a TURN server that does not know these credentials (RFC 8656, 19; RFC 8489, 14.8). */
const REFUSALS = new Set([401, 403, 438]);

/** @param {World} world */
export async function check({ secure, devices, ping, ice, connect, report }) {
  step("secure", "A secure page", secure ? "good" : "bad", secure ? "" : WITHOUT_HTTPS);

  step("devices", "Camera and microphone", "running", "");
  const { microphones, cameras, refused } = await devices();
  const some = cameras > 0 ? "There is a camera, and no microphone." : "There is a microphone, and no camera.";
  if (refused) step("devices", "Camera and microphone", "bad", KEPT);
  else if (microphones && cameras) step("devices", "Camera and microphone", "good", "");
  else if (microphones || cameras) step("devices", "Camera and microphone", "so-so", some);
  else step("devices", "Camera and microphone", "bad", "There are none.");

  step("server", "The server", "running", "");
  const ms = await ping();
  const words = ms === null ? "It does not answer." : `It answers within ${Math.max(1, Math.round(ms))} ms.`;
  step("server", "The server", ms === null ? "bad" : ms < SLOW_MS ? "good" : "so-so", words);

  const servers = (await ice())?.servers ?? [];
  step("direct", "Direct connections", "running", "");
  step("relay", "The relay", "running", "");
  await Promise.all([direct(servers), relay(servers)]);

  /**
   * @param {string} key
   * @param {string} title
   * @param {State} state
   * @param {string} words
   */
  function step(key, title, state, words) {
    report({ key, title, state, words });
  }

  /** @param {RTCIceServer[]} all */
  async function direct(all) {
    const stun = all.filter(isOf("stun"));
    const found = await candidatesOf(connect({ iceServers: stun }));
    const own = found.has("host");
    const seen = found.has("srflx");
    const title = "Direct connections";
    if (seen) step("direct", title, "good", "Your network can be reached from outside.");
    else if (own && stun.length === 0) step("direct", title, "good", OUTSIDE);
    else if (own) step("direct", title, "so-so", "Within one network. The STUN server did not answer.");
    else step("direct", title, "bad", "The browser offers no address of this device.");
  }

  /** @param {RTCIceServer[]} all */
  async function relay(all) {
    const turn = all.filter(isOf("turn"));
    if (turn.length === 0) {
      step("relay", "The relay", "so-so", NO_RELAY);
      return;
    }
    const config = /** @type {RTCConfiguration} */ ({ iceServers: turn, iceTransportPolicy: "relay" });
    const [here, there] = [connect(config), connect(config)];
    /** @type {number[]} */
    const errors = [];
    here.onicecandidateerror = ({ errorCode }) => errors.push(errorCode);
    const began = performance.now();
    const works = await talk(here, there);
    const took = Math.round(performance.now() - began);
    here.close();
    there.close();
    if (works) step("relay", "The relay", "good", `It passes on what you send; set up within ${took} ms.`);
    else if (errors.some((code) => REFUSALS.has(code))) step("relay", "The relay", "bad", REFUSED);
    else if (errors.length > 0) step("relay", "The relay", "bad", "It does not answer: a firewall, or it is not running.");
    else step("relay", "The relay", "bad", "It answers, and nothing comes through.");
  }
}

/** @param {"stun" | "turn"} scheme */
const isOf = (scheme) => (/** @type {RTCIceServer} */ { urls }) => [urls].flat().some((url) => url.startsWith(scheme));

/**
 * Which kinds of candidates a connection finds.
 *
 * @param {RTCPeerConnection} connection
 */
async function candidatesOf(connection) {
  /** @type {Set<string>} */
  const found = new Set();
  connection.createDataChannel("");
  const done = new Promise((resolve) => {
    connection.onicecandidate = ({ candidate }) => {
      if (candidate === null) resolve(undefined);
      else if (candidate.type) found.add(candidate.type);
    };
  });
  await connection.setLocalDescription();
  await Promise.race([done, pause(WITHIN_MS)]);
  connection.close();
  return found;
}

/**
 * Whether a word comes from one connection to the other.
 *
 * @param {RTCPeerConnection} here
 * @param {RTCPeerConnection} there
 */
async function talk(here, there) {
  const channel = here.createDataChannel("");
  const heard = new Promise((resolve) => {
    there.ondatachannel = (event) => {
      event.channel.onmessage = () => resolve(true);
    };
  });
  channel.onopen = () => channel.send("hello");
  const offered = here.setLocalDescription().then(async () => {
    await there.setRemoteDescription(/** @type {RTCSessionDescription} */ (here.localDescription));
  });
  here.onicecandidate = async ({ candidate }) => {
    await offered;
    if (candidate) await there.addIceCandidate(candidate);
  };
  there.onicecandidate = async ({ candidate }) => {
    await answered;
    if (candidate) await here.addIceCandidate(candidate);
  };
  const answered = offered.then(async () => {
    await there.setLocalDescription();
    await here.setRemoteDescription(/** @type {RTCSessionDescription} */ (there.localDescription));
  });
  await answered;
  return Promise.race([heard, pause(WITHIN_MS).then(() => false)]);
}

/** @param {number} ms */
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
