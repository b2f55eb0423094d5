// How loud what is received is: nothing that was heard between two looks is missed.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Loudness } from "../../static/js/call/rtc.js";
import { Connection } from "./peer-connection.js";

/** Somebody's microphone, as it is received. */
function voice() {
  const connection = new Connection({});
  const { receiver } = connection.addTransceiver("audio", { direction: "recvonly" });
  const loudness = new Loudness();
  return {
    receiver,
    look: () => loudness.of(/** @type {any} */ (connection), /** @type {any} */ (receiver.track)),
  };
}

test("a sound that is over before anybody looks is heard all the same", async () => {
  const { receiver, look } = voice();
  receiver.played = { energy: 0, seconds: 10 };
  assert.equal(await look(), 0);
  // 20 ms at half of full scale, in a quarter of a second.
  receiver.played = { energy: 0.5 ** 2 * 0.02, seconds: 10.25 };
  assert.equal(Math.abs((await look()) - 0.5 * Math.sqrt(0.02 / 0.25)) < 1e-9, true);
  receiver.played = { ...receiver.played, seconds: 10.5 };
  assert.equal(await look(), 0, "and only once");
});

test("where nothing is received or played there is silence", async () => {
  const { receiver, look } = voice();
  assert.equal(await look(), 0);
  receiver.played = { energy: 1, seconds: 4 };
  assert.equal(await look(), 0.5);
  assert.equal(await look(), 0, "no time has passed");
  assert.equal(await new Loudness().of(null, undefined), 0);
});

test("a stream that begins anew counts from nothing", async () => {
  const { receiver, look } = voice();
  receiver.played = { energy: 9, seconds: 100 };
  await look();
  receiver.played = { energy: 0.09, seconds: 1 };
  assert.equal(Math.abs((await look()) - 0.3) < 1e-9, true);
});
