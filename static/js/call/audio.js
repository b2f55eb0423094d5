// The one audio context of the page.

/** @type {AudioContext | null} */
let shared = null;

/** Browsers let a page make and measure sound after a touch or a key; until then it is suspended, and silent. */
export function audio() {
  shared ??= new AudioContext();
  if (shared.state === "suspended" && navigator.userActivation?.hasBeenActive !== false) void shared.resume();
  return shared;
}
