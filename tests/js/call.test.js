// What is shown of a call: roster and tracks to tiles.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Call } from "../../static/js/call/call.js";
import { Track, entry, participant } from "./call-people.js";

const me = participant("me");
const anna = participant("anna");
const bob = participant("bob");

/** A call with Anna and Bob, both connected. */
function withBoth() {
  const call = new Call();
  call.entered(entry(me, [anna, bob]), 0);
  call.linked("anna", "connected");
  call.linked("bob", "connected");
  return call;
}

/** @param {Call} call */
const keys = (call) => call.tiles.map(({ key }) => key);

test("everybody has a tile, oneself last, and is counted", () => {
  const call = withBoth();
  assert.deepEqual(keys(call), ["anna", "bob", "me"]);
  assert.equal(call.count, 3);
  assert.equal(call.tiles[2].mine, true);
});

test("a camera is shown while its owner says that it is on", () => {
  const call = withBoth();
  const track = new Track("video").asTrack;
  call.received("anna", "camera", track);
  assert.equal(call.tiles[0].video, track);
  call.heard({ change: "changed", participant: { ...anna, video: false } });
  assert.equal(call.tiles[0].video, null);
  call.heard({ change: "changed", participant: anna });
  assert.equal(call.tiles[0].video, track);
});

test("who only watches is counted and has no tile", () => {
  const call = withBoth();
  call.heard({ change: "joined", participant: participant("carl", { role: "subscriber" }) });
  assert.equal(call.count, 4);
  assert.deepEqual(keys(call), ["anna", "bob", "me"]);
  assert.deepEqual(call.watchers.map(({ id }) => id), ["carl"]);
});

test("a screen is a tile of its own beside its owner's, and is looked at", () => {
  const call = withBoth();
  call.received("anna", "screen", new Track("video").asTrack);
  assert.deepEqual(keys(call), ["anna", "bob", "me"], "not before its owner says so");
  call.heard({ change: "changed", participant: { ...anna, screen: true } });
  assert.deepEqual(keys(call), ["anna/screen", "anna", "bob", "me"]);
  assert.equal(call.focus, "anna/screen");
  call.received("anna", "screen", null);
  assert.deepEqual(keys(call), ["anna", "bob", "me"]);
  assert.equal(call.focus, null);
});

test("of two screens the newer is looked at, and one's own is not", () => {
  const call = withBoth();
  for (const person of [anna, bob]) {
    call.heard({ change: "changed", participant: { ...person, screen: true } });
    call.received(person.id, "screen", new Track("video").asTrack);
  }
  assert.equal(call.focus, "bob/screen");
  call.sends("screen", new Track("video").asTrack);
  assert.equal(call.focus, "bob/screen");
  call.heard({ change: "left", participant: bob });
  assert.equal(call.focus, "anna/screen");
});

test("what a person makes large stays large until a new screen comes, and small if they wish", () => {
  const call = withBoth();
  call.zoom("bob");
  assert.equal(call.focus, "bob");
  call.heard({ change: "changed", participant: { ...anna, screen: true } });
  call.received("anna", "screen", new Track("video").asTrack);
  assert.equal(call.focus, "anna/screen");
  call.zoom("anna/screen");
  assert.equal(call.focus, null);
  call.zoom("anna/screen");
  assert.equal(call.focus, "anna/screen");
});

test("a large tile whose owner leaves is not waited for", () => {
  const call = withBoth();
  call.zoom("bob");
  call.heard({ change: "left", participant: bob });
  assert.equal(call.focus, null);
});

test("media that arrive say more than a roster that lost sight of somebody", () => {
  const call = withBoth();
  call.heard({ change: "reconnecting", participant: anna });
  assert.equal(call.tiles[0].presence, "here");
  call.linked("anna", "reconnecting");
  assert.equal(call.tiles[0].presence, "reconnecting");
  call.linked("anna", "failed");
  assert.equal(call.tiles[0].presence, "failed");
  call.linked("anna", "connected");
  assert.equal(call.tiles[0].presence, "here");
});

test("a roster after the server was away replaces the one before, but for whose media still come", () => {
  const call = withBoth();
  call.linked("bob", "failed");
  const gone = call.entered(entry(me, [participant("carl")]), 10_000);
  assert.deepEqual(gone.map(({ id }) => id), ["bob"]);
  assert.deepEqual(call.others.map(({ id }) => id).sort(), ["anna", "carl"]);
  assert.deepEqual(call.sweep(10_000), []);
  call.heard({ change: "joined", participant: anna });
  assert.deepEqual(call.sweep(60_000), [], "who came back is not missing");
});

test("who does not come back to the roster is let go of, sooner when the media end", () => {
  const call = withBoth();
  call.entered(entry(me, []), 10_000);
  assert.equal(call.count, 3);
  call.linked("bob", "failed");
  assert.deepEqual(call.sweep(11_000).map(({ id }) => id), ["bob"]);
  assert.deepEqual(call.sweep(29_000), []);
  assert.deepEqual(call.sweep(31_000).map(({ id }) => id), ["anna"]);
  assert.equal(call.count, 1);
});

test("whoever is muted is not marked as speaking", () => {
  const call = withBoth();
  call.levels([["anna", 0.4], ["bob", 0.4]], 0);
  call.heard({ change: "changed", participant: { ...bob, audio: false } });
  assert.deepEqual(call.tiles.map(({ speaking }) => speaking), [true, false, false]);
});

test("all microphones and the sound of screens are heard, and never one's own", () => {
  const call = withBoth();
  const tracks = [new Track("audio"), new Track("audio"), new Track("audio")];
  call.received("anna", "microphone", tracks[0].asTrack);
  call.received("anna", "screen-audio", tracks[1].asTrack);
  call.received("bob", "microphone", tracks[2].asTrack);
  call.sends("microphone", new Track("audio").asTrack);
  assert.deepEqual(call.sounds, tracks);
});
