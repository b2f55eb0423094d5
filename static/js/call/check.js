// The connection check: step by step, what a call needs, and in words what is in the way. It sends and receives, through
// the relay too, rather than believe a setting.

/** @import { Ice } from "./wire.js" */

const WITHIN_MS = 6_000;

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

/** @param {World} world */
export async function check({ secure, devices, ping, ice, connect, report }) {
  step("secure", "A secure page", secure ? "good" : "bad", secure ? "" : "Without https:// a browser lends no camera and no microphone. Everything else works.");

  step("devices", "Camera and microphone", "running", "");
  const { microphones, cameras, refused } = await devices();
  if (refused) step("devices", "Camera and microphone", "bad", "The browser keeps them from this page: allow them in the address bar.");
  else if (microphones && cameras) step("devices", "Camera and microphone", "good", "");
  else if (microphones) step("devices", "Camera and microphone", "so-so", "There is a microphone, and no camera.");
  else step("devices", "Camera and microphone", cameras ? "so-so" : "bad", cameras ? "There is a camera, and no microphone." : "There are none.");

  step("server", "The server", "running", "");
  const ms = await ping();
  if (ms === null) step("server", "The server", "bad", "It does not answer.");
  else step("server", "The server", ms < 400 ? "good" : "so-so", `It answers within ${Math.max(1, Math.round(ms))} ms.`);

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
    if (seen) step("direct", "Direct connections", "good", "Your network can be reached from outside.");
    else if (own && stun.length === 0) step("direct", "Direct connections", "good", "Within one network. From outside, the relay is needed.");
    else if (own) step("direct", "Direct connections", "so-so", "Within one network. The STUN server did not answer.");
    else step("direct", "Direct connections", "bad", "The browser offers no address of this device.");
  }

  /** @param {RTCIceServer[]} all */
  async function relay(all) {
    const turn = all.filter(isOf("turn"));
    if (turn.length === 0) {
      step("relay", "The relay", "so-so", "This server has none. People in different networks may not reach each other.");
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
    else if (errors.some((code) => code === 401 || code === 403 || code === 438)) step("relay", "The relay", "bad", "It refuses this server’s credentials. Whoever runs the server has to compare the secrets.");
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
