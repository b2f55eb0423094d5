// The shapes of the wire, and its limits. Types only: nothing here acts.

/**
 * @typedef {object} Message
 * @property {string} id
 * @property {string} room
 * @property {number} seq        The number under which it was posted: its place, for ever.
 * @property {number} changed    The number of its newest change; equal to `seq` when new.
 * @property {"text" | "notice"} kind
 * @property {string} client_id
 * @property {string} sender     The author's account id.
 * @property {string} name       The author's name.
 * @property {string} content
 * @property {number} sent_at    Milliseconds since 1970, by the server's clock.
 * @property {number} [edited_at]  When its text was last replaced, likewise.
 * @property {true} [deleted]    Its author took it back; there is no text any more.
 */

/** @typedef {{id: string, name: string, verified?: boolean}} Person  Not verified: the name was only typed. */
/** @typedef {{count: number, people: Person[]}} Here */

/**
 * @typedef {object} Room
 * @property {string} room
 * @property {string} name
 * @property {"public" | "private" | "direct"} kind
 * @property {string} topic
 * @property {number} head
 * @property {number} last         The place of its newest message.
 * @property {true} [archived]
 * @property {true} [locked]
 * @property {Person[]} [people]   Whose direct room it is.
 * @property {number} [read]       How far this person has read, where that is told.
 * @property {boolean} [muted]     Whether this person wants to be told of it no more, likewise.
 * @property {string[]} [may]      What this person may there, likewise: post rename archive invite grade remove.
 */

/** @typedef {{room: string, gone: true}} Gone  A room that is not this person's any more. */
/** @typedef {Person & {grade: string, here: boolean, online: boolean}} Member */
/** @typedef {{count: number, members: Member[]}} Roll */
/** @typedef {{rooms: (Room & {member: boolean})[], makes: string[]}} Listing */
/** @typedef {{people: (Person & {online: boolean})[]}} Everybody */

/** @typedef {Person & {verified: boolean, token?: string | null}} You */

/** @typedef {{room: string, cursor?: number, epoch?: string}} JoinRequest */

/**
 * With a cursor in the request: what changed after it, ascending by `changed`, and `more` means that pages remain.
 * Without one, or with `reset`: the newest page, ascending by `seq`, and `more` means that older history exists.
 *
 * @typedef {object} JoinAnswer
 * @property {You} you
 * @property {Room} room
 * @property {Here} here
 * @property {Message[]} messages
 * @property {number} cursor
 * @property {string} epoch
 * @property {boolean} more
 * @property {boolean} [reset]
 */

/** @typedef {{messages: Message[], more: boolean}} HistoryPage */
/** @typedef {{client_id: string, content: string}} Draft */
/** @typedef {{id: string, seq: number, changed: number, sent_at: number, client_id: string}} PostAnswer */

/** @typedef {{room: string, came: Person[], went: Person[], count: number}} Presence */
/** @typedef {{room: string, name: string}} Typing */
/** @typedef {{code: string, message: string, reconnect: boolean}} Goodbye */

/** @typedef {{code: string, message: string}} Refusal */

/**
 * What a question to the server came to. Besides the server's own codes a refusal can be `timeout` (no answer came) or
 * `offline` (the question never left): in both cases nobody knows, and asking again is right.
 *
 * @template Answer
 * @typedef {{ok: true, answer: Answer} | {ok: false, refusal: Refusal}} Result
 */

export const LOBBY = "lobby";
export const NAME_LIMIT_CHARACTERS = 254;
export const TEXT_LIMIT_CHARACTERS = 10_000;
export const NAMED_PEOPLE_LIMIT = 100;

/**
 * The length as the server counts it: code points, so that an emoji is one character.
 *
 * @param {string} text
 */
export function lengthInCharacters(text) {
  let length = 0;
  for (const _ of text) length += 1;
  return length;
}

/**
 * The canonical id of a room that a person typed, or null when it is no room name.
 *
 * @param {string} typed
 */
export function roomIdOf(typed) {
  const id = typed.trim().replace(/\s+/g, "-").toLowerCase();
  return /^[a-z0-9_-]{1,64}$/.test(id) ? id : null;
}
