// The official client in the place of the browser's bundle of it: each page has its own address and transports.

import { io as official } from "socket.io-client";

/** The page that is being made; the page's files believe to be alone in their window. */
export const window = { page: null };

export function io(namespace, options) {
  const { page } = window;
  page.socket = official(page.url + namespace, { ...options, ...page.transports, forceNew: true });
  return page.socket;
}
