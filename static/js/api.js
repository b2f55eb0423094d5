// What the page asks over HTTP, `/api/v1/…`: every question gets an answer or a refusal in words. Loaded on demand.

/** @import { Refusal, Result } from "./protocol.js" */

/** @typedef {{id: string, name: string, verified: boolean, role: string, room: string | null}} Holder */
/** @typedef {"hook" | "bot" | "token"} Maker */
/** @typedef {{you: Holder, sign_in: string, invites: string[], makes: Maker[]}} Me */

/**
 * @typedef {object} Link
 * @property {string} id
 * @property {"invitation" | "sign-in"} kind
 * @property {string} role
 * @property {string | null} room
 * @property {{id: string, name: string} | null} person  Whom it signs in.
 * @property {{id: string, name: string} | null} maker   Null: the operator.
 * @property {number} made_at
 * @property {number} ends_at
 * @property {number} uses
 * @property {number} used
 */

/** @typedef {{link: Link, url: string, qr: {size: number, path: string}}} MadeLink */

/**
 * @typedef {object} SignIn
 * @property {string} id
 * @property {Holder} person
 * @property {number} made_at
 * @property {number} seen_at
 * @property {number} ends_at
 * @property {string} agent  What it calls itself; of a program's token, what it is for.
 * @property {boolean} program  Whether it is the token of a program.
 * @property {boolean} current  Whether it is the one that asks.
 */

/** @typedef {{id: string, name: string, tokens: number, seen_at: number | null}} Bot */
/** @typedef {{id: string, name: string, room: string, maker: {name: string} | null, made_at: number}} Hook */

const ANSWER_WITHIN_MS = 15_000;

export const api = {
  me: () => /** @type {Promise<Result<Me>>} */ (ask("GET", "me")),
  links: () => /** @type {Promise<Result<{links: Link[]}>>} */ (ask("GET", "links")),
  /** @param {{role: string, room?: string, hours: number, uses: number} | {account: string}} terms */
  makeLink: (terms) => /** @type {Promise<Result<MadeLink>>} */ (ask("POST", "links", terms)),
  /** @param {string} id */
  revokeLink: (id) => ask("DELETE", `links/${encodeURIComponent(id)}`),
  signIns: () => /** @type {Promise<Result<{sign_ins: SignIn[]}>>} */ (ask("GET", "sign-ins")),
  /** @param {string} id */
  endSignIn: (id) => ask("DELETE", `sign-ins/${encodeURIComponent(id)}`),
  endOthers: () => ask("DELETE", "sign-ins"),
  signOut: () => ask("POST", "sign-out", {}),
  bots: () => /** @type {Promise<Result<{bots: Bot[]}>>} */ (ask("GET", "bots")),
  /** @param {string} name */
  makeBot: (name) => /** @type {Promise<Result<{bot: Bot, secret: string}>>} */ (ask("POST", "bots", { name })),
  /** @param {string} id */
  endBot: (id) => ask("DELETE", `bots/${encodeURIComponent(id)}`),
  /** @param {string} label */
  makeToken: (label) => /** @type {Promise<Result<{secret: string}>>} */ (ask("POST", "tokens", { label })),
  hooks: () => /** @type {Promise<Result<{hooks: Hook[]}>>} */ (ask("GET", "hooks")),
  /**
   * @param {string} name
   * @param {string} room
   */
  makeHook: (name, room) =>
    /** @type {Promise<Result<{hook: Hook, url: string}>>} */ (ask("POST", "hooks", { name, room })),
  /** @param {string} id */
  endHook: (id) => ask("DELETE", `hooks/${encodeURIComponent(id)}`),
};

/**
 * @param {string} method
 * @param {string} path
 * @param {object} [question]
 * @returns {Promise<Result<any>>}
 */
async function ask(method, path, question) {
  try {
    const response = await fetch(`/api/v1/${path}`, {
      method,
      headers: { Accept: "application/json", ...(question && { "Content-Type": "application/json" }) },
      body: question && JSON.stringify(question),
      signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
    });
    const answer = response.status === 204 ? null : await response.json();
    if (response.ok) return { ok: true, answer };
    return refusal(response.status === 401 ? "sign-in" : "refused", answer?.detail ?? "The server refused this.");
  } catch {
    return refusal("offline", "The server did not answer. Try again in a moment.");
  }
}

/**
 * @param {string} code
 * @param {string} message
 * @returns {{ok: false, refusal: Refusal}}
 */
function refusal(code, message) {
  return { ok: false, refusal: { code, message } };
}
