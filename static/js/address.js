// The address of this page says which room is open.

import { LOBBY, roomIdOf } from "./protocol.js";

/** @param {string} room */
export const pathOf = (room) => (room === LOBBY ? "/" : `/r/${room}`);

export function roomInAddress() {
  const [, name] = location.pathname.match(/^\/r\/([^/]+)\/?$/) ?? [];
  return roomIdOf(name ?? "") ?? LOBBY;
}

/** @param {string} room */
export function goTo(room) {
  if (room !== roomInAddress()) history.pushState(null, "", pathOf(room));
}
