// How loud a track is: for the meter before a call, and for the mark of whoever is speaking.

import { audio } from "./audio.js";

/** Speech is far from full scale; this makes the bar of a meter use its length. */
const GAIN = 2.5;

export class LevelMeter {
  #source;
  #analyser;
  #samples;

  /** @param {MediaStreamTrack} track */
  constructor(track) {
    const context = audio();
    this.#source = context.createMediaStreamSource(new MediaStream([track]));
    this.#analyser = context.createAnalyser();
    this.#analyser.fftSize = 512;
    this.#samples = new Float32Array(this.#analyser.fftSize);
    this.#source.connect(this.#analyser);
  }

  /** From 0 to 1. */
  level() {
    audio();
    this.#analyser.getFloatTimeDomainData(this.#samples);
    let sum = 0;
    for (const sample of this.#samples) sum += sample * sample;
    return Math.min(1, Math.sqrt(sum / this.#samples.length) * GAIN);
  }

  close() {
    this.#source.disconnect();
  }
}
