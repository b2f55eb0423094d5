// One's own devices: asked for together and one by one, remembered, let go of, and in words when something is in the way.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Capture, askForScreen, wordsOf } from "../../static/js/call/capture.js";
import { idle } from "./clock.js";
import { Track } from "./call-people.js";

/** @import { Kind } from "../../static/js/call/capture.js" */

/** A browser with devices that can be taken away. */
class Devices {
  /** @type {Record<Kind, string | null>} What asking for a kind throws. */
  refusals = { microphone: null, camera: null };
  /** @type {MediaStreamConstraints[]} */
  asked = [];
  /** @type {Track[]} */
  given = [];
  /** @type {MediaDeviceInfo[]} */
  listed = [];

  /** Whether answers wait for `answer()`. */
  holding = false;
  /** @type {((value?: unknown) => void)[]} */
  #held = [];

  /** Answer what was asked until now. */
  answer() {
    for (const go of this.#held.splice(0)) go();
    return idle();
  }

  /** @param {MediaStreamConstraints} constraints */
  async getUserMedia(constraints) {
    this.asked.push(constraints);
    if (this.holding) await new Promise((resolve) => this.#held.push(resolve));
    const kinds = /** @type {Kind[]} */ ([constraints.audio && "microphone", constraints.video && "camera"].filter(Boolean));
    for (const kind of kinds) {
      const name = this.refusals[kind];
      if (name) throw Object.assign(new Error(name), { name });
    }
    const tracks = kinds.map((kind) => new Track(kind === "camera" ? "video" : "audio", `a ${kind}`));
    this.given.push(...tracks);
    return {
      getAudioTracks: () => tracks.filter(({ kind }) => kind === "audio"),
      getVideoTracks: () => tracks.filter(({ kind }) => kind === "video"),
    };
  }

  async enumerateDevices() {
    return this.listed;
  }

  addEventListener() {}
  removeEventListener() {}
}

/** @param {Devices | undefined} devices */
function capturing(devices) {
  /** @type {Map<string, string>} */
  const kept = new Map();
  const keeper = {
    keys: () => [...kept.keys()],
    getItem: (/** @type {string} */ key) => kept.get(key) ?? null,
    setItem: (/** @type {string} */ key, /** @type {string} */ value) => void kept.set(key, value),
    removeItem: (/** @type {string} */ key) => void kept.delete(key),
  };
  /** @type {string[]} */
  const news = [];
  const listener = {
    track: (/** @type {Kind} */ kind, /** @type {unknown} */ track) => void news.push(`${kind} ${track ? "on" : "off"}`),
    problems: () => {},
    devices: () => {},
    unplugged: (/** @type {Kind} */ kind, /** @type {string | null} */ instead) => void news.push(`${kind} gone, ${instead}`),
  };
  const make = () => new Capture(/** @type {any} */ (devices), keeper, listener);
  return { capture: make(), again: make, news };
}

const BOTH = { microphone: true, camera: true };

test("the browser asks once for both", async () => {
  const devices = new Devices();
  const { capture, news } = capturing(devices);
  await capture.open(BOTH);
  assert.equal(devices.asked.length, 1);
  assert.deepEqual(news, ["microphone on", "camera on"]);
  assert.deepEqual(capture.problems, []);
});

test("without a camera one is still heard", async () => {
  const devices = new Devices();
  devices.refusals.camera = "NotFoundError";
  const { capture } = capturing(devices);
  await capture.open(BOTH);
  assert.equal(capture.speaks, true);
  assert.deepEqual(capture.problems, [{ kind: "camera", reason: "none" }]);
  assert.match(wordsOf(capture.problems)?.title ?? "", /no camera/);
});

test("what was refused can be tried again", async () => {
  const devices = new Devices();
  devices.refusals = { microphone: "NotAllowedError", camera: "NotAllowedError" };
  const { capture } = capturing(devices);
  await capture.open(BOTH);
  const words = wordsOf(capture.problems);
  assert.match(words?.title ?? "", /keeps the camera and microphone/);
  assert.equal(words?.again, true);
  devices.refusals = { microphone: null, camera: null };
  await capture.open(BOTH);
  assert.deepEqual(capture.problems, []);
  assert.equal(capture.speaks, true);
});

test("an insecure page has no devices, and says so", async () => {
  const { capture } = capturing(undefined);
  await capture.open(BOTH);
  const words = wordsOf(capture.problems);
  assert.match(words?.words ?? "", /https/);
  assert.equal(words?.again, false);
});

test("every reason has words for each kind and for both", () => {
  for (const reason of /** @type {const} */ (["insecure", "refused", "none", "busy", "gone", "unknown"])) {
    const camera = /** @type {const} */ ({ kind: "camera", reason });
    const microphone = /** @type {const} */ ({ kind: "microphone", reason });
    for (const problems of [[camera], [microphone], [microphone, camera]]) {
      const words = wordsOf(problems);
      assert(words && words.title.length > 10 && words.words.length > 10, reason);
    }
  }
  assert.equal(wordsOf([]), null);
});

test("a camera that is off is stopped, so that its light goes out", async () => {
  const devices = new Devices();
  const { capture, news } = capturing(devices);
  await capture.open(BOTH);
  await capture.setCamera(false);
  assert.equal(devices.given[1].stopped, true);
  assert.equal(news.at(-1), "camera off");
  await capture.setCamera(true);
  assert.equal(capture.track("camera")?.label, "a camera");
});

test("a microphone that is off stays open and silent", async () => {
  const devices = new Devices();
  const { capture } = capturing(devices);
  await capture.open(BOTH);
  await capture.setMicrophone(false);
  assert.equal(devices.given[0].enabled, false);
  assert.equal(devices.given[0].stopped, false);
});

test("the next call begins as the last one ended", async () => {
  const devices = new Devices();
  const { capture, again } = capturing(devices);
  await capture.open(BOTH);
  await capture.setMicrophone(false);
  await capture.setCamera(false);
  const next = again();
  assert.deepEqual(next.wants, { microphone: false, camera: false });
  await next.open({ microphone: true, camera: next.wants.camera });
  assert.equal(next.speaks, false);
  assert.equal(next.track("camera"), null);
});

test("a chosen device is asked for, now and the next time, and a quiet microphone stays quiet", async () => {
  const devices = new Devices();
  const { capture, again } = capturing(devices);
  await capture.open(BOTH);
  await capture.setMicrophone(false);
  await capture.choose("microphone", "headset");
  const deviceOf = (/** @type {MediaStreamConstraints | undefined} */ asked) =>
    /** @type {MediaTrackConstraints} */ (asked?.audio).deviceId;
  assert.deepEqual(deviceOf(devices.asked.at(-1)), { exact: "headset" });
  assert.equal(devices.given[0].stopped, true);
  assert.equal(capture.speaks, false);
  await again().open(BOTH);
  assert.deepEqual(deviceOf(devices.asked.at(-1)), { exact: "headset" });
});

test("a chosen device that is not there any more is no reason to have none", async () => {
  const devices = new Devices();
  const { capture } = capturing(devices);
  await capture.choose("camera", "at the office");
  const { getUserMedia } = devices;
  devices.getUserMedia = async (constraints) => {
    const { deviceId } = /** @type {MediaTrackConstraints} */ (constraints.video);
    if (deviceId) throw Object.assign(new Error(), { name: "OverconstrainedError" });
    return getUserMedia.call(devices, constraints);
  };
  await capture.open(BOTH);
  assert.deepEqual(capture.problems, []);
  assert.equal(capture.track("camera")?.label, "a camera");
});

test("when a device is unplugged another one takes its place, as loud or quiet as it was", async () => {
  const devices = new Devices();
  const { capture, news } = capturing(devices);
  await capture.open(BOTH);
  await capture.setMicrophone(false);
  devices.given[0].ends();
  await idle();
  assert.equal(news.at(-1), "microphone gone, a microphone");
  assert.equal(capture.speaks, false);
  assert.deepEqual(capture.problems, []);
});

test("when nothing takes its place, it is off and one is told", async () => {
  const devices = new Devices();
  const { capture, news } = capturing(devices);
  await capture.open(BOTH);
  devices.refusals.camera = "NotFoundError";
  devices.given[1].ends();
  await idle();
  assert.deepEqual(news.slice(-2), ["camera off", "camera gone, null"]);
  assert.deepEqual(capture.problems, [{ kind: "camera", reason: "gone" }]);
});

test("a camera that arrives after it was switched off again is let go of", async () => {
  const devices = new Devices();
  const { capture } = capturing(devices);
  const opening = capture.setCamera(true);
  await capture.setCamera(false);
  await opening;
  assert.equal(capture.track("camera"), null);
  assert.equal(devices.given[0].stopped, true);
});

test("whoever leaves while the browser still asks is not heard afterwards", async () => {
  const devices = new Devices();
  devices.refusals.camera = "NotReadableError";
  devices.holding = true;
  const { capture, news } = capturing(devices);
  const opening = capture.open(BOTH);
  capture.close();
  devices.holding = false;
  await devices.answer();
  await opening;
  assert.equal(devices.asked.length, 1);
  assert.deepEqual(news, []);
});

test("whoever leaves between the questions is asked no more", async () => {
  const devices = new Devices();
  devices.refusals.camera = "NotReadableError";
  devices.holding = true;
  const { capture, news } = capturing(devices);
  const opening = capture.open(BOTH);
  await devices.answer(); // to both; from here on the microphone alone is asked for
  capture.close();
  await devices.answer();
  await opening;
  assert.equal(devices.asked.length, 2);
  assert.deepEqual(devices.given.map(({ stopped }) => stopped), [true]);
  assert.deepEqual(news, []);
});

test("a camera that is switched off while both are asked for is not asked for alone", async () => {
  const devices = new Devices();
  devices.refusals.camera = "NotReadableError";
  devices.holding = true;
  const { capture } = capturing(devices);
  const opening = capture.open(BOTH);
  await capture.setCamera(false);
  devices.holding = false;
  await devices.answer();
  await opening;
  assert.equal(capture.speaks, true);
  assert.deepEqual(devices.asked.slice(1).map(({ video }) => video), [false]);
  assert.deepEqual(capture.problems, []);
});

test("whoever leaves while a chosen device is looked for is not asked about any other", async () => {
  const devices = new Devices();
  devices.refusals.microphone = "NotFoundError";
  devices.holding = true;
  const { capture } = capturing(devices);
  await capture.choose("microphone", "headset");
  const opening = capture.open({ microphone: true, camera: false });
  capture.close();
  await devices.answer();
  devices.holding = false;
  await opening;
  assert.equal(devices.asked.length, 1);
});

test("a microphone that goes as one leaves is not replaced, and is nobody's loss", async () => {
  const devices = new Devices();
  const { capture, news } = capturing(devices);
  await capture.open({ microphone: true, camera: false });
  devices.holding = true;
  devices.given[0].ends();
  capture.close();
  await devices.answer();
  assert.deepEqual(devices.given.map(({ stopped }) => stopped).slice(1), [true]);
  assert.deepEqual(news, ["microphone on", "microphone off"]);
  assert.deepEqual(capture.problems, []);
});

test("a screen that the system keeps from the browser is not taken for a change of mind", async (t) => {
  const refusing = (/** @type {string} */ message) => ({
    getDisplayMedia: async () => {
      throw Object.assign(new Error(message), { name: "NotAllowedError" });
    },
  });
  const browser = { mediaDevices: refusing("Permission denied by system") };
  const before = Object.getOwnPropertyDescriptor(globalThis, "navigator");
  Object.defineProperty(globalThis, "navigator", { value: browser, configurable: true });
  t.after(() => before && Object.defineProperty(globalThis, "navigator", before));
  await assert.rejects(askForScreen(), /the system does not let this browser see it/);
  browser.mediaDevices = refusing("Access to the feature \"display-capture\" is disallowed by permissions policy.");
  await assert.rejects(askForScreen(), /this page is not allowed/);
  browser.mediaDevices = refusing("Permission denied by user");
  assert.equal(await askForScreen(), null);
});
