// One row of the list: what there is to show of a message, or of a letter that is still on its way, and how it is shown.

/** @import { Letter } from "../outbox-store.js" */
/** @import { Scene } from "./message-list.js" */

import { hueOf, initialsOf, linksIn, momentOf, timeOf } from "../words.js";

const GROUP_WITHIN_MS = 5 * 60_000;
const DELETED = "This message was deleted";
const REMOVED = "This message was removed by a moderator";

/**
 * One row, whether it is a message or still a letter.
 *
 * @typedef {object} Entry
 * @property {string} key
 * @property {boolean} mine
 * @property {boolean} notice
 * @property {string} sender
 * @property {string} name
 * @property {string} content
 * @property {number} at
 * @property {"pending" | "sent" | "failed"} state
 * @property {string} failure  What did not happen.
 * @property {string} reason
 * @property {number | null} seq
 * @property {string} message  The id of the message; empty while it is a letter.
 * @property {string} letter   The `client_id` of the letter that can be sent again or discarded.
 * @property {number | null} editedAt
 * @property {boolean} deleted
 * @property {boolean} removed  It was a moderator who deleted it.
 * @property {boolean} editing
 */

/**
 * Messages in their order, then what is still on its way.
 *
 * @param {Scene} scene
 * @returns {Entry[]}
 */
export function entriesOf({ messages, letters, you, editing }) {
  /** @type {Entry[]} */
  const entries = [];
  const stored = new Set();
  /** @type {Map<string, Letter>} The newest change of each message that is on its way. */
  const changes = new Map();
  for (const letter of letters) if (letter.target !== undefined) changes.set(letter.target, letter);
  for (const message of messages) {
    const mine = message.sender === you?.id;
    if (mine) stored.add(message.client_id);
    const change = changes.get(message.id);
    const deletes = change?.deletes ?? false;
    const failed = change !== undefined && change.refusal !== null;
    entries.push({
      key: mine ? keyOfOwn(message.client_id) : `other:${message.id}`,
      mine,
      notice: message.kind === "notice",
      sender: message.sender,
      name: message.name,
      content: change && !deletes && !message.deleted ? change.content : message.content,
      at: message.sent_at,
      state: change ? stateOf(change) : "sent",
      failure: deletes ? "Not deleted." : "Your change was not saved.",
      reason: change?.refusal?.message ?? "",
      seq: message.seq,
      message: message.id,
      letter: change?.client_id ?? "",
      editedAt: message.edited_at ?? (change && !deletes && !failed ? change.written_at : null),
      deleted: message.deleted ?? (deletes && !failed),
      removed: message.removed ?? (deletes && !failed && !mine),
      editing: message.id === editing,
    });
  }
  for (const letter of letters) {
    if (stored.has(letter.client_id) || letter.target !== undefined) continue;
    entries.push({
      key: keyOfOwn(letter.client_id),
      mine: true,
      notice: false,
      sender: you?.id ?? letter.person,
      name: you?.name ?? letter.person,
      content: letter.content,
      at: letter.written_at,
      state: stateOf(letter),
      failure: "Not sent.",
      reason: letter.refusal?.message ?? "",
      seq: null,
      message: "",
      letter: letter.client_id,
      editedAt: null,
      deleted: false,
      removed: false,
      editing: false,
    });
  }
  return entries;
}

/**
 * @param {Letter} letter
 * @returns {"pending" | "failed"}
 */
const stateOf = (letter) => (letter.refusal ? "failed" : "pending");

/**
 * Only an own message can have been a letter, and keeps its row. A `client_id` is anybody's to choose, so it is made a
 * key that no message of somebody else can have.
 *
 * @param {string} client_id
 */
const keyOfOwn = (client_id) => `own:${client_id}`;

/**
 * @param {Entry} previous
 * @param {Entry} entry
 */
export function belongsTo(previous, entry) {
  const oneSender = previous.sender === entry.sender || (previous.mine && entry.mine);
  return oneSender && !entry.notice && !previous.notice && Math.abs(entry.at - previous.at) < GROUP_WITHIN_MS;
}

/**
 * @param {Entry} a
 * @param {Entry} b
 */
export function same(a, b) {
  return a.content === b.content && a.state === b.state && a.at === b.at && a.seq === b.seq && a.reason === b.reason
    && a.mine === b.mine && a.name === b.name && a.sender === b.sender && a.editedAt === b.editedAt
    && a.deleted === b.deleted && a.removed === b.removed && a.editing === b.editing && a.failure === b.failure;
}

/**
 * Bring a row up to date.
 *
 * @param {HTMLElement} element
 * @param {Entry} entry
 * @param {boolean} grouped
 * @param {Entry} [before]
 */
export function fill(element, entry, grouped, before) {
  const part = (/** @type {string} */ name) => /** @type {HTMLElement} */ (element.querySelector(`.${name}`));
  element.dataset.state = entry.state;
  if (entry.seq === null) delete element.dataset.seq;
  else element.dataset.seq = String(entry.seq);
  element.classList.toggle("message-mine", entry.mine);
  element.classList.toggle("message-grouped", grouped);
  element.classList.toggle("message-notice", entry.notice);
  element.classList.toggle("message-deleted", entry.deleted);
  element.classList.toggle("message-editing", entry.editing);
  element.style.setProperty("--hue", String(hueOf(entry.sender)));
  element.removeAttribute("aria-label");
  part("avatar").textContent = initialsOf(entry.name);
  part("message-sender").textContent = entry.mine ? "Me" : entry.name;
  const time = /** @type {HTMLTimeElement} */ (element.querySelector("time"));
  time.dateTime = new Date(entry.at).toISOString();
  time.textContent = timeOf(entry.at);
  time.title = momentOf(entry.at);
  // Untouched text keeps a person's selection.
  if (before?.content !== entry.content || before.deleted !== entry.deleted || before.removed !== entry.removed) {
    part("message-content").replaceChildren(...(entry.deleted ? [tombstoneOf(entry)] : withLinks(entry.content)));
  }
  const edited = part("message-edited");
  edited.hidden = entry.editedAt === null || entry.deleted;
  edited.title = entry.editedAt === null ? "" : `Edited ${momentOf(entry.editedAt)}`;
  part("message-pending").hidden = entry.state !== "pending";
  part("message-failure").hidden = entry.state !== "failed";
  part("message-failed").textContent = entry.failure;
  part("message-reason").textContent = entry.reason;
}

/** @param {Entry} entry */
export const tombstoneOf = ({ removed }) => (removed ? REMOVED : DELETED);

/** @param {string} text */
function withLinks(text) {
  return linksIn(text).map((piece) => {
    if (!piece.href) return document.createTextNode(piece.text);
    const link = document.createElement("a");
    link.href = piece.href;
    link.textContent = piece.text;
    link.target = "_blank";
    link.rel = "noopener noreferrer";
    return link;
  });
}
