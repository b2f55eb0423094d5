// How a browser or program is put into words, and how long ago something was. Pure functions.

/** What a browser calls itself, the more special names first: nearly everybody says Safari, and Edge says Chrome. */
const PROGRAMS = [
  [/\bEdgA?\//, "Edge"],
  [/\bOPR\//, "Opera"],
  [/\bSamsungBrowser\//, "Samsung Internet"],
  [/\b(?:Firefox|FxiOS)\//, "Firefox"],
  [/\b(?:Chrome|CriOS|HeadlessChrome)\//, "Chrome"],
  [/\bVersion\/.*\bSafari\//, "Safari"],
];

const SYSTEMS = [
  [/\biPhone\b/, "iPhone"],
  [/\biPad\b/, "iPad"],
  [/\bAndroid\b/, "Android"],
  [/\bCrOS\b/, "ChromeOS"],
  [/\bWindows\b/, "Windows"],
  [/\bMac OS X\b|\bMacintosh\b/, "macOS"],
  [/\bLinux\b|\bX11\b/, "Linux"],
];

/**
 * @param {string} agent
 */
export function deviceOf(agent) {
  const program = nameIn(PROGRAMS, agent);
  const system = nameIn(SYSTEMS, agent);
  if (program && system) return `${program} on ${system}`;
  return program ?? system ?? (agent.split(/[\s/]/)[0] || "An unknown program");
}

const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });
const STEPS = /** @type {const} */ ([
  ["day", 86_400_000],
  ["hour", 3_600_000],
  ["minute", 60_000],
]);

/**
 * How far away a moment is, such as "in 7 days" or "2 hours ago".
 *
 * @param {number} ms
 * @param {number} now
 */
export function fromNow(ms, now) {
  const away = ms - now;
  for (const [unit, length] of STEPS) {
    if (Math.abs(away) >= length) return relative.format(Math.round(away / length), unit);
  }
  return away > 0 ? "in a moment" : "just now";
}

/**
 * @param {(RegExp | string)[][]} table
 * @param {string} agent
 */
function nameIn(table, agent) {
  const found = table.find(([pattern]) => pattern instanceof RegExp && pattern.test(agent));
  return /** @type {string | undefined} */ (found?.[1]);
}
