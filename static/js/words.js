// How things are put into words and signs: times, days, initials, colours, links. Pure functions.

const clock = new Intl.DateTimeFormat(undefined, { hour: "numeric", minute: "2-digit" });
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "short" });
const day = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });
const dayOfYear = new Intl.DateTimeFormat(undefined, { dateStyle: "long" });

/** @param {number} ms */
export const timeOf = (ms) => clock.format(ms);

/** @param {number} ms */
export const momentOf = (ms) => moment.format(ms);

/**
 * Whether two moments are on the same day here.
 *
 * @param {number} a
 * @param {number} b
 */
export const sameDay = (a, b) => new Date(a).toDateString() === new Date(b).toDateString();

/**
 * @param {number} ms
 * @param {number} now
 */
export function dayOf(ms, now) {
  const yesterday = new Date(now);
  yesterday.setDate(yesterday.getDate() - 1);
  if (sameDay(ms, now)) return "Today";
  if (sameDay(ms, yesterday.getTime())) return "Yesterday";
  const thisYear = new Date(ms).getFullYear() === new Date(now).getFullYear();
  return (thisYear ? day : dayOfYear).format(ms);
}

/**
 * One or two letters for an avatar; of an address, only what is before the @ says who it is.
 *
 * @param {string} name
 */
export function initialsOf(name) {
  const words = name.split("@")[0].match(/[\p{L}\p{N}]+/gu) ?? [[...name][0] ?? "?"];
  const letters = words.length > 1 ? words[0].slice(0, 1) + words[1].slice(0, 1) : [...words[0]].slice(0, 2).join("");
  return letters.toUpperCase();
}

/**
 * A hue in degrees that stays with an account wherever it is shown.
 *
 * @param {string} id
 */
export function hueOf(id) {
  let hash = 0x811c9dc5;
  for (let i = 0; i < id.length; i += 1) hash = Math.imul(hash ^ id.charCodeAt(i), 0x01000193);
  // Steps of 24°, so that two people look either the same or clearly different.
  return ((hash >>> 8) % 15) * 24;
}

/** What ends a sentence or closes emphasis, rather than an address. */
const PUNCTUATION = new Set(".,;:!?'\"*_~");

/**
 * Cut a text into plain pieces and web addresses. Punctuation that ends a sentence is not part of an address.
 *
 * @param {string} text
 * @returns {{text: string, href?: string}[]}
 */
export function linksIn(text) {
  const pieces = [];
  let end = 0;
  for (const match of text.matchAll(/\bhttps?:\/\/[^\s<>"]+/giu)) {
    let address = withoutPunctuation(match[0]);
    if (address.endsWith(")") && !address.includes("(")) address = address.slice(0, -1);
    if (!URL.canParse(address)) continue;
    if (match.index > end) pieces.push({ text: text.slice(end, match.index) });
    pieces.push({ text: address, href: address });
    end = match.index + address.length;
  }
  if (end < text.length) pieces.push({ text: text.slice(end) });
  return pieces;
}

/**
 * From the end, step by step: a pattern would begin anew at every mark in the middle.
 *
 * @param {string} address
 */
function withoutPunctuation(address) {
  let end = address.length;
  while (PUNCTUATION.has(address[end - 1])) end -= 1;
  return address.slice(0, end);
}

/**
 * @param {readonly string[]} names
 */
export function typingLine(names) {
  if (names.length === 0) return "";
  if (names.length === 1) return `${names[0]} is typing…`;
  if (names.length === 2) return `${names[0]} and ${names[1]} are typing…`;
  return "Several people are typing…";
}

/**
 * @param {number} count
 * @param {string} one
 * @param {string} many
 */
export const counted = (count, one, many) => `${count.toLocaleString()} ${count === 1 ? one : many}`;

/**
 * "Anna", "Anna and Bob", "Anna, Bob and 3 others".
 *
 * @param {readonly string[]} names
 * @param {number} [count]  How many there are, where not all are named.
 */
export function namesLine(names, count = names.length) {
  const shown = count > 3 ? names.slice(0, 2) : names;
  const rest = count - shown.length;
  if (rest > 0) return `${shown.join(", ")} and ${rest} ${rest === 1 ? "other" : "others"}`;
  return shown.length > 1 ? `${shown.slice(0, -1).join(", ")} and ${shown.at(-1)}` : (shown[0] ?? "");
}
