// Wires the page: the porch lets people in, and what they press reaches the chat that is there.

/** @import { Dialogs } from "./dialogs.js" */

import { Porch } from "./porch.js";
import { Attention } from "./views/attention.js";
import { CallBar } from "./views/call-bar.js";
import { loadDialogs } from "./views/chat-view.js";
import { LandingCard } from "./views/landing.js";
import { part } from "./views/part.js";

const attention = new Attention(part(document, "[data-announcer]", HTMLElement), part(document, "[data-notify]", HTMLButtonElement));
/** Not there on a server without calls. */
const calls = document.querySelector("[data-call]") ? new CallBar() : null;
const porch = new Porch(part(document, "landing-card", LandingCard), { attention, calls });

/** @type {[button: string, opens: (dialogs: Dialogs) => unknown][]} */
const BUTTONS = [
  ["[data-find]", (dialogs) => dialogs.find()],
  ["[data-details]", (dialogs) => dialogs.showDetails()],
  ["[data-lock]", (dialogs) => dialogs.toggleLock()],
  ["[data-people-and-links]", (dialogs) => dialogs.showPeopleAndLinks()],
  ["[data-invite-people]", (dialogs) => dialogs.showPeopleAndLinks()],
  ["[data-order]", (dialogs) => dialogs.keepOrder()],
];

// Not everybody has all of them.
for (const [button, opens] of BUTTONS) {
  document.querySelector(button)?.addEventListener("click", () => void porch.chat?.open(opens));
}
part(document, "[data-leave]", HTMLElement).addEventListener("click", () => porch.goOut());

addEventListener("keydown", (event) => {
  // In advance; whoever then wants them is told if they are not there.
  if (event.key === "Control" || event.key === "Meta") void loadDialogs().catch(() => null);
  if (event.key.toLowerCase() !== "k" || !(event.ctrlKey || event.metaKey) || event.shiftKey || event.altKey) return;
  event.preventDefault();
  void porch.chat?.open((dialogs) => dialogs.find());
});

addEventListener("popstate", () => porch.chat?.visit.followAddress());
addEventListener("offline", () => porch.chat?.visit.session.networkLost());
addEventListener("pagehide", () => porch.chat?.visit.pause());
addEventListener("pageshow", () => porch.chat?.visit.resume());
document.addEventListener("visibilitychange", () => (document.hidden ? porch.chat?.outOfSight() : porch.chat?.inSight()));

porch.open();
