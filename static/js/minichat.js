// Minichat's page: what is said in the lobby, a line each, and one field. It hears through the session, as the large
// page does, and speaks by POST /chat, so that everybody hears it in the same way, whoever says it.

/** @import { Message } from "./protocol.js" */

import { Connection } from "./connection.js";
import { LOBBY } from "./protocol.js";
import { Session } from "./session.js";
import { part } from "./views/part.js";

const LINES_SHOWN = 200;
const ANSWER_WITHIN_MS = 15_000;
const STATUS_WORDS = { connecting: "Connecting…", online: "Here:", offline: "Offline." };

const signedIn = document.querySelector('meta[name="chatzilla-me"]')?.getAttribute("content") ?? null;
const comeIn = part(document, "[data-come-in]", HTMLFormElement);
const say = part(document, "[data-say]", HTMLFormElement);
const lines = part(document, "[data-lines]", HTMLElement);
const state = part(document, "[data-state]", HTMLElement);
const people = part(document, "[data-people]", HTMLElement);
const words = part(document, "[data-words]", HTMLElement);
const text = part(document, "[name=text]", HTMLInputElement);
const send = part(document, "[data-say] button", HTMLButtonElement);

/** @type {Session | null} */
let session = null;

comeIn.addEventListener("submit", (event) => {
  event.preventDefault();
  const name = part(document, "[name=name]", HTMLInputElement).value.trim();
  if (name) enter(name);
});

say.addEventListener("submit", (event) => {
  event.preventDefault();
  void speak();
});

if (signedIn !== null) enter(signedIn);

/** @param {string} name */
function enter(name) {
  session?.close();
  words.textContent = "";
  const entered = (session = new Session({ name, room: LOBBY }, {
    connect: (ear) => new Connection(ear),
    listener: {
      status: () => (state.textContent = STATUS_WORDS[entered.status]),
      joined: () => {
        const wasOutside = say.hidden;
        comeIn.hidden = true;
        lines.hidden = say.hidden = false;
        showLines(entered.timeline.rows);
        showPeople(entered);
        if (wasOutside) text.focus();
      },
      rows: () => showLines(entered.timeline.rows),
      people: () => showPeople(entered),
      heard: () => {},
      typing: () => {},
      room: () => {},
      gone: (room) => {
        if (room === LOBBY) leave(entered, "This room is not yours any more.");
      },
      you: () => {},
      mine: () => {},
      refused: (refusal) => leave(entered, refusal.message),
      ended: (refusal) => leave(entered, refusal.message),
    },
    later: (run, ms) => setTimeout(run, ms),
    now: () => performance.now(),
    random: () => Math.random(),
  }));
  entered.open();
}

/**
 * The server does not want this person: they are shown the sign-in, or asked for another name.
 *
 * @param {Session} left
 * @param {string} why
 */
function leave(left, why) {
  left.close();
  if (signedIn !== null) return location.reload();
  comeIn.hidden = false;
  lines.hidden = say.hidden = true;
  state.textContent = people.textContent = "";
  words.textContent = why;
  part(document, "[name=name]", HTMLInputElement).focus();
}

async function speak() {
  if (!text.value.trim() || send.disabled) return;
  send.disabled = true;
  words.textContent = "";
  try {
    const token = signedIn === null ? session?.token : undefined;
    const response = await fetch("/chat", {
      method: "POST",
      headers: { Accept: "application/json", ...(token && { Authorization: `Bearer ${token}` }) },
      body: text.value,
      signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
    });
    if (response.ok) text.value = "";
    else words.textContent = (await response.json()).detail;
  } catch {
    words.textContent = "The server did not answer. If your message does not appear, send it again.";
  }
  send.disabled = false;
  text.focus();
}

/** @param {readonly Message[]} rows */
function showLines(rows) {
  const atEnd = lines.scrollHeight - lines.scrollTop - lines.clientHeight < 40;
  const shown = new Map([...lines.children].map((line) => [line.id, line]));
  const wanted = rows.slice(-LINES_SHOWN);
  wanted.forEach((row, place) => {
    const line = shown.get(row.id) ?? newLine(row);
    shown.delete(row.id);
    const said = row.deleted ? "(taken back)" : row.content;
    const content = /** @type {HTMLElement} */ (line.lastElementChild);
    if (content.textContent !== said) content.textContent = said;
    if (lines.children[place] !== line) lines.insertBefore(line, lines.children[place] ?? null);
  });
  for (const line of shown.values()) line.remove();
  if (atEnd) lines.scrollTop = lines.scrollHeight;
}

/** @param {Message} row */
function newLine(row) {
  const line = document.createElement("p");
  line.id = row.id;
  const name = document.createElement("bdi");
  name.textContent = row.name;
  const content = document.createElement("span");
  content.dir = "auto";
  line.append(name, ": ", content);
  return line;
}

/** @param {Session} entered */
function showPeople(entered) {
  const named = entered.roster.people.map((person) => person.name);
  const others = entered.roster.count - named.length;
  people.textContent = named.join(", ") + (others > 0 ? `, and ${others} more` : "");
}
