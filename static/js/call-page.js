// A call on a page of its own, for whoever comes with a token for it: `/call/<room>?token=…`. No chat beside it.

import { io } from "../vendor/socket.io.esm.min.js";
import { ROUTE } from "./connection.js";
import { ofThisTab } from "./storage.js";
import { CallView } from "./views/call-view.js";

const view = document.querySelector("call-view");
if (!(view instanceof CallView)) throw new Error("The page has no call.");
const room = view.dataset.room ?? "";
const announcer = /** @type {HTMLElement} */ (document.querySelector("[data-announcer]"));
const SPOKEN_FOR_MS = 10_000;

/** The token goes from the address into the tab, so that it is neither bookmarked nor read over one's shoulder. */
function takeToken() {
  const key = `chatzilla.call.token.${room}`;
  const address = new URL(location.href);
  const brought = address.searchParams.get("token");
  if (brought) {
    ofThisTab.setItem(key, brought);
    address.searchParams.delete("token");
    history.replaceState(null, "", address);
  }
  return brought ?? ofThisTab.getItem(key) ?? undefined;
}

/**
 * Whether a token says of itself that its holder only watches. The server decides; this spares asking for a camera.
 *
 * @param {string} [token]  A JWT, or a text in the older form of OpenTok, `T1==…`.
 */
function onlyWatches(token = "") {
  const part = token.startsWith("T1==") ? token.slice(4) : (token.split(".")[1] ?? "");
  try {
    const words = atob(part.replaceAll("-", "+").replaceAll("_", "/"));
    return /"role":\s*"subscriber"|[&:]role=subscriber\b/.test(words);
  } catch {
    return false;
  }
}

/** @param {string} words */
function say(words) {
  const line = document.createElement("p");
  line.textContent = words;
  announcer.append(line);
  setTimeout(() => line.remove(), SPOKEN_FOR_MS);
}

const token = takeToken();
view.wishes = { inside: () => {}, chat: () => {}, say };
view.open({
  room,
  name: view.dataset.name ?? room,
  manager: io("/calls", { ...ROUTE, autoConnect: false }).io,
  token: () => token,
  watches: onlyWatches(token),
  alone: true,
});
