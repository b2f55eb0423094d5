// What frames the chat, whoever visits: the sidebar, which may be a drawer, the line above the messages, and a word to
// whoever wants something that is loaded only then and cannot be had.

import { part } from "./part.js";

const NARROW = matchMedia("(max-width: 51.99rem)");

const NEEDS_SERVER = "This needs the server, which cannot be reached now. What you write is kept all the same.";
const NOT_LOADED = "This could not be loaded. Try again; if that does not help, load this page again.";

const chat = part(document, "[data-chat]", HTMLElement);
const sidebar = part(document, "#sidebar", HTMLElement);
const notice = part(document, "[data-notice]", HTMLElement);
const noticeWords = part(notice, "[data-notice-words]", HTMLElement);

/** On a phone, and beside a call, the sidebar is a drawer, which the browser closes by Escape or a touch outside. */
function arrangeSidebar() {
  if (NARROW.matches || chat.classList.contains("has-call")) sidebar.setAttribute("popover", "auto");
  else sidebar.removeAttribute("popover");
}

/** Make way for what the person asked for from the drawer. */
export function closeDrawer() {
  if (NARROW.matches) sidebar.hidePopover();
}

/** @param {boolean} there  Whether there is a call beside the chat. */
export function makeRoomForCall(there) {
  chat.classList.toggle("has-call", there);
  arrangeSidebar();
}

/**
 * Show a line above the messages until it is dismissed.
 *
 * @param {string} words
 */
export function tell(words) {
  noticeWords.textContent = words;
  notice.hidden = words === "";
}

/**
 * Take a line away that does not hold any more, if it is the one that is shown.
 *
 * @param {string} words
 */
function tellNoMore(words) {
  if (noticeWords.textContent === words) tell("");
}

/** The server can be reached again. */
export function serverIsBack() {
  tellNoMore(NEEDS_SERVER);
}

/**
 * Load what somebody wants just now. Where it cannot be had, they are told why nothing happens.
 *
 * @template Loaded
 * @param {() => Promise<Loaded>} load
 * @returns {Promise<Loaded | null>}
 */
export async function wanted(load) {
  try {
    const loaded = await load();
    tellNoMore(NOT_LOADED);
    return loaded;
  } catch (error) {
    const online = document.documentElement.dataset.connection === "online";
    if (online) console.error(error);
    closeDrawer();
    tell(online ? NOT_LOADED : NEEDS_SERVER);
    return null;
  }
}

arrangeSidebar();
NARROW.addEventListener("change", arrangeSidebar);
part(notice, "[data-dismiss]", HTMLElement).addEventListener("click", () => tell(""));
