// How long to wait before trying again what did not work: longer each time, up to a bound, and not as long as everybody else.

const SPREAD = 0.5;

/**
 * @param {number} failures  How many there have been, one or more.
 * @param {{first: number, longest: number}} bounds  In ms, before chance has its say.
 * @param {number} chance  From 0 to 1.
 * @returns {number} In ms.
 */
export function backOff(failures, { first, longest }, chance) {
  return Math.min(first * 2 ** (failures - 1), longest) * (1 + SPREAD * (2 * chance - 1));
}
