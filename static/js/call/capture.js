// This person's own microphone, camera and screen: asks the browser for them, remembers which were chosen, and says in
// words what is in the way. A camera that is off is let go of, so that its light goes out.

/** @import { Keeper } from "../storage.js" */
/** @import { Quality } from "./wire.js" */

/** @typedef {"microphone" | "camera"} Kind */
/** Why a source cannot be had; the browsers' names for it are in `reasonOf`. */
/** @typedef {"insecure" | "refused" | "none" | "busy" | "gone" | "unknown"} Reason */
/** @typedef {{kind: Kind, reason: Reason}} Problem */
/** @typedef {{id: string, label: string}} Device */
/** @typedef {{microphones: Device[], cameras: Device[], speakers: Device[]}} Devices */
/** That something is to be had, for as long as nobody thinks better of it. @typedef {{kind: Kind, stands: () => boolean}} Wish */

/**
 * @typedef {object} Listener
 * @property {(kind: Kind, track: MediaStreamTrack | null) => void} track
 * @property {() => void} problems
 * @property {() => void} devices
 * @property {(kind: Kind, instead: string | null) => void} unplugged  What is used instead, if anything is.
 */

/** @typedef {Pick<MediaDevices, "getUserMedia" | "enumerateDevices" | "addEventListener" | "removeEventListener">} Browser */

const DEFAULT_QUALITY = { width: 640, height: 480, frame_rate: 24 };
const KINDS = /** @type {const} */ (["microphone", "camera"]);

export class Capture {
  #browser;
  #keeper;
  #listener;
  /** @type {Map<Kind, MediaStreamTrack>} */
  #tracks = new Map();
  /** @type {Map<Kind, Reason>} */
  #problems = new Map();
  /** @type {Devices} */
  #devices = { microphones: [], cameras: [], speakers: [] };
  /** @type {Pick<Quality, "width" | "height" | "frame_rate">} */
  #quality = DEFAULT_QUALITY;
  /** Counts what was asked for, so that an answer that comes too late is let go of. */
  #asked = { microphone: 0, camera: 0 };
  #changed = () => void this.#lookAround();

  /**
   * @param {Browser | undefined} browser  Missing where the page is not secure.
   * @param {Keeper} keeper
   * @param {Listener} listener
   */
  constructor(browser, keeper, listener) {
    this.#browser = browser;
    this.#keeper = keeper;
    this.#listener = listener;
    browser?.addEventListener("devicechange", this.#changed);
  }

  /** @param {Kind} kind */
  track(kind) {
    return this.#tracks.get(kind) ?? null;
  }

  get devices() {
    return this.#devices;
  }

  /** @returns {Problem[]} */
  get problems() {
    return [...this.#problems].map(([kind, reason]) => ({ kind, reason }));
  }

  /** Whether the microphone is there and open. */
  get speaks() {
    return this.#tracks.get("microphone")?.enabled ?? false;
  }

  /** Whether this person wants to be seen and heard when a call begins: as it was the last time. */
  get wants() {
    return {
      microphone: this.#keeper.getItem("chatzilla.call.microphone-off") === null,
      camera: this.#keeper.getItem("chatzilla.call.camera-off") === null,
    };
  }

  /** @param {Kind | "speaker"} kind */
  chosen(kind) {
    return this.#keeper.getItem(`chatzilla.call.${kind}`) ?? "";
  }

  /**
   * Ask for microphone and camera: together, so that the browser asks once; where that fails, one by one, so that
   * somebody without a camera is heard.
   *
   * @param {{microphone: boolean, camera: boolean}} wanted
   */
  async open(wanted) {
    const wishes = KINDS.filter((kind) => wanted[kind] && !this.#tracks.has(kind)).map((kind) => this.#wish(kind));
    const answered = wishes.length === 2 && (await this.#ask(wishes));
    if (!answered) {
      // Each of them may have been let go of while the browser, or the person at its question, took its time.
      for (const wish of wishes) if (wish.stands()) await this.#ask([wish]);
    }
    await this.#lookAround();
  }

  /**
   * @param {boolean} on
   * @returns {Promise<boolean>} Whether it is open now.
   */
  async setMicrophone(on) {
    this.#remember("microphone", on);
    const track = this.#tracks.get("microphone");
    if (track) track.enabled = on;
    else if (on) await this.open({ microphone: true, camera: false });
    return this.speaks;
  }

  /**
   * @param {boolean} on
   * @returns {Promise<boolean>}
   */
  async setCamera(on) {
    this.#remember("camera", on);
    if (on) await this.open({ microphone: false, camera: true });
    else this.#letGo("camera");
    return this.#tracks.has("camera");
  }

  /** Open or close the microphone for a moment, without remembering it. @param {boolean} on */
  whisper(on) {
    const track = this.#tracks.get("microphone");
    if (track) track.enabled = on;
  }

  /**
   * Use this device from now on.
   *
   * @param {Kind | "speaker"} kind
   * @param {string} id
   */
  async choose(kind, id) {
    this.#keeper.setItem(`chatzilla.call.${kind}`, id);
    if (kind === "speaker" || !this.#tracks.has(kind)) return;
    // Some systems lend a camera only once: the old one is let go of before the new one is asked for.
    this.#tracks.get(kind)?.stop();
    this.#tracks.delete(kind);
    await this.#ask([this.#wish(kind)]);
    if (!this.#tracks.has(kind)) this.#listener.track(kind, null);
  }

  /** @param {Quality} quality */
  async limit(quality) {
    this.#quality = quality;
    try {
      await this.#tracks.get("camera")?.applyConstraints(this.#constraintsOf("camera", false));
    } catch (error) {
      // A camera that cannot be set smaller is made smaller by the bitrate.
      if (!(error instanceof DOMException || error instanceof Error && error.name === "OverconstrainedError")) throw error;
    }
  }

  close() {
    this.#browser?.removeEventListener("devicechange", this.#changed);
    for (const kind of KINDS) this.#letGo(kind);
  }

  /** @param {Kind} kind */
  #letGo(kind) {
    this.#asked[kind] += 1;
    const track = this.#tracks.get(kind);
    this.#tracks.delete(kind);
    if (this.#problems.delete(kind)) this.#listener.problems();
    if (!track) return;
    track.stop();
    this.#listener.track(kind, null);
  }

  /**
   * It stands until the same kind is wished for again, or let go of.
   *
   * @param {Kind} kind
   * @returns {Wish}
   */
  #wish(kind) {
    const turn = (this.#asked[kind] += 1);
    return { kind, stands: () => turn === this.#asked[kind] };
  }

  /**
   * @param {readonly Wish[]} wishes
   * @returns {Promise<boolean>} Whether that was an answer; for two at once, a failure is none.
   */
  async #ask(wishes) {
    if (!this.#browser) {
      for (const { kind } of wishes) this.#fails(kind, "insecure");
      return true;
    }
    try {
      const stream = await this.#request(this.#browser, wishes);
      for (const { kind, stands } of wishes) {
        const [track] = kind === "camera" ? stream.getVideoTracks() : stream.getAudioTracks();
        if (!stands()) track?.stop();
        else if (track) this.#has(kind, track);
        else this.#fails(kind, "none");
      }
      return true;
    } catch (error) {
      if (wishes.length > 1) return false;
      const [{ kind, stands }] = wishes;
      if (stands()) this.#fails(kind, reasonOf(error));
      return true;
    }
  }

  /**
   * The devices that were chosen; where one of them is not there any more, whichever there are.
   *
   * @param {Browser} browser
   * @param {readonly Wish[]} wishes
   */
  async #request(browser, wishes) {
    const kinds = wishes.map(({ kind }) => kind);
    const request = (/** @type {boolean} */ chosen) =>
      browser.getUserMedia({
        audio: kinds.includes("microphone") ? this.#constraintsOf("microphone", chosen) : false,
        video: kinds.includes("camera") ? this.#constraintsOf("camera", chosen) : false,
      });
    const choosy = kinds.some((kind) => this.chosen(kind) !== "");
    try {
      return await request(choosy);
    } catch (error) {
      if (!choosy || reasonOf(error) !== "none" || !wishes.some(({ stands }) => stands())) throw error;
      return request(false);
    }
  }

  /**
   * @param {Kind} kind
   * @param {MediaStreamTrack} track
   */
  #has(kind, track) {
    // Somebody who is quiet stays quiet, whatever the browser hands out.
    if (kind === "microphone") track.enabled = this.wants.microphone;
    this.#tracks.set(kind, track);
    // Fired when a device goes, never by our own stop().
    track.addEventListener("ended", () => void this.#unplugged(kind, track), { once: true });
    if (this.#problems.delete(kind)) this.#listener.problems();
    this.#listener.track(kind, track);
  }

  /**
   * @param {Kind} kind
   * @param {Reason} reason
   */
  #fails(kind, reason) {
    this.#problems.set(kind, reason);
    this.#listener.problems();
  }

  /**
   * The device is gone: go on with whatever else there is.
   *
   * @param {Kind} kind
   * @param {MediaStreamTrack} track
   */
  async #unplugged(kind, track) {
    if (this.#tracks.get(kind) !== track) return;
    this.#tracks.delete(kind);
    const wish = this.#wish(kind);
    await this.#ask([wish]);
    if (!wish.stands()) {
      // Meanwhile it is wanted no more, or was asked for once more; either way the answer is not about this loss.
      if (!this.#tracks.has(kind)) this.#listener.track(kind, null);
      return;
    }
    const instead = this.#tracks.get(kind);
    if (!instead) {
      this.#fails(kind, "gone");
      this.#listener.track(kind, null);
    }
    this.#listener.unplugged(kind, instead?.label ?? null);
    await this.#lookAround();
  }

  /** Browsers name devices only after one of them was granted. */
  async #lookAround() {
    const all = (await this.#browser?.enumerateDevices()) ?? [];
    const of = (/** @type {MediaDeviceKind} */ kind, /** @type {string} */ noun) =>
      all
        .filter((device) => device.kind === kind && device.deviceId !== "")
        .map(({ deviceId, label }, at) => ({ id: deviceId, label: label || `${noun} ${at + 1}` }));
    this.#devices = {
      microphones: of("audioinput", "Microphone"),
      cameras: of("videoinput", "Camera"),
      speakers: of("audiooutput", "Loudspeaker"),
    };
    this.#listener.devices();
  }

  /**
   * @param {Kind} kind
   * @param {boolean} chosen  Whether it has to be the device that was chosen; a mere wish weighs no more than a size.
   * @returns {MediaTrackConstraints}
   */
  #constraintsOf(kind, chosen) {
    const id = this.chosen(kind);
    const device = chosen && id !== "" ? { deviceId: { exact: id } } : {};
    if (kind === "microphone") {
      return { ...device, echoCancellation: true, noiseSuppression: true, autoGainControl: true };
    }
    const { width, height, frame_rate } = this.#quality;
    return { ...device, width: { ideal: width }, height: { ideal: height }, frameRate: { ideal: frame_rate, max: 30 } };
  }

  /**
   * @param {Kind} kind
   * @param {boolean} on
   */
  #remember(kind, on) {
    if (on) this.#keeper.removeItem(`chatzilla.call.${kind}-off`);
    else this.#keeper.setItem(`chatzilla.call.${kind}-off`, "yes");
  }
}

/**
 * @param {unknown} error
 * @returns {Reason}
 */
export function reasonOf(error) {
  const { name } = /** @type {{name?: string}} */ (error ?? {});
  if (name === "NotAllowedError" || name === "SecurityError") return "refused";
  if (name === "NotFoundError" || name === "OverconstrainedError") return "none";
  if (name === "NotReadableError" || name === "AbortError") return "busy";
  return "unknown";
}

/**
 * What to tell a person about a problem.
 *
 * @param {Problem[]} problems
 * @returns {{title: string, words: string, again: boolean} | null}
 */
export function wordsOf(problems) {
  if (problems.length === 0) return null;
  if (problems.some(({ reason }) => reason === "insecure")) {
    return {
      title: "No camera and microphone on an insecure page",
      words: "Browsers lend them to pages with https:// only. You can take part all the same: you see and hear the others.",
      again: false,
    };
  }
  const both = problems.length === 2 && problems[0].reason === problems[1].reason;
  const [{ kind, reason }] = problems;
  const noun = both ? "camera and microphone" : kind;
  const without = both ? "seen or heard" : kind === "camera" ? "seen" : "heard";
  const still = `You can take part all the same, without being ${without}.`;
  const [title, words] = {
    refused: [
      `Your browser keeps the ${noun} from this page`,
      `Allow the ${noun} in the address bar, then try again. ${still}`,
    ],
    none: [`There is no ${both ? "camera and no microphone" : noun}`, `Plug one in, then try again. ${still}`],
    busy: [
      `The ${noun} cannot be opened`,
      `Another program may be using ${both ? "them" : "it"}. Close it, then try again. ${still}`,
    ],
    gone: [`The ${noun} was unplugged`, `Plug it in again, then try again. ${still}`],
    insecure: ["", ""],
    unknown: [`The ${noun} cannot be opened`, `The browser does not say why. ${still}`],
  }[reason];
  return { title, words, again: true };
}

/**
 * Ask for a screen, a window or a tab; null when the person thought better of it, as far as the browser tells.
 *
 * @returns {Promise<{screen: MediaStreamTrack, sound: MediaStreamTrack | null} | null>}
 */
export async function askForScreen() {
  try {
    const stream = await navigator.mediaDevices.getDisplayMedia({
      video: { frameRate: { ideal: 15, max: 30 } },
      audio: true,
    });
    const [screen] = stream.getVideoTracks();
    const [sound] = stream.getAudioTracks();
    screen.contentHint = "detail";
    return { screen, sound: sound ?? null };
  } catch (error) {
    if (reasonOf(error) !== "refused") throw error;
    const { message } = /** @type {Error} */ (error);
    if (message.includes("by system")) throw new Error("the system does not let this browser see it. Its settings for privacy may allow it.");
    if (message.includes("policy")) throw new Error("this page is not allowed to.");
    return null;
  }
}
