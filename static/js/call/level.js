// How loud a track is: for the meter before a call, and for the mark of whoever is speaking.

import { audio } from "./audio.js";

/** Speech is far from full scale; this makes the bar of a meter use its length. */
const GAIN = 2.5;
/** How far back one can listen. */
const KEPT_MS = 250;
/** What an analyser takes at most (https://www.w3.org/TR/webaudio/, fftSize). */
const MOST_SAMPLES = 32_768;

export class LevelMeter {
  #source;
  #analyser;
  #samples;

  /** @param {MediaStreamTrack} track */
  constructor(track) {
    const context = audio();
    this.#source = context.createMediaStreamSource(new MediaStream([track]));
    this.#analyser = context.createAnalyser();
    const wanted = (context.sampleRate * KEPT_MS) / 1_000;
    this.#analyser.fftSize = Math.min(MOST_SAMPLES, 2 ** Math.ceil(Math.log2(wanted)));
    this.#samples = new Float32Array(this.#analyser.fftSize);
    this.#source.connect(this.#analyser);
  }

  /**
   * @param {number} ms  Over how long, until now.
   * @returns {number} From 0 to 1.
   */
  level(ms) {
    const { sampleRate } = audio();
    this.#analyser.getFloatTimeDomainData(this.#samples); // the newest come last
    const count = Math.max(1, Math.min(this.#samples.length, Math.round((sampleRate * ms) / 1_000)));
    let sum = 0;
    for (const sample of this.#samples.subarray(-count)) sum += sample * sample;
    return Math.min(1, Math.sqrt(sum / count) * GAIN);
  }

  close() {
    this.#source.disconnect();
  }
}
