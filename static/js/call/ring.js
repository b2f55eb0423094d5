// Somebody calls: two soft notes, once.

import { audio } from "./audio.js";

const LOUDNESS = 0.07;
const NOTES_HZ = [659.25, 880];
const APART_S = 0.22;

export function ring() {
  const context = audio();
  if (context.state !== "running") return; // nobody has touched this page yet, and it stays silent
  const begin = context.currentTime + 0.02;
  for (const [at, frequency] of NOTES_HZ.entries()) {
    const tone = context.createOscillator();
    const volume = context.createGain();
    const from = begin + at * APART_S;
    tone.frequency.value = frequency;
    volume.gain.setValueAtTime(0, from);
    volume.gain.linearRampToValueAtTime(LOUDNESS, from + 0.04);
    volume.gain.exponentialRampToValueAtTime(0.0005, from + 0.9);
    tone.connect(volume).connect(context.destination);
    tone.start(from);
    tone.stop(from + 1);
  }
}
