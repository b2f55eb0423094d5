// Who somebody is on this page. Tabs are people: the name lives in the tab, and the next tab only suggests it. Whoever is
// signed in is one person in all of this browser, by a cookie that no script can read.

import { ofThisBrowser, ofThisTab } from "./storage.js";

export class Identity {
  /** Who is signed in, if anybody is. */
  #signedIn = document.querySelector('meta[name="chatzilla-me"]')?.getAttribute("content") ?? null;

  get signedIn() {
    return this.#signedIn !== null;
  }

  /** Whether this person may write to others directly. */
  get mayWrite() {
    return this.signedIn && document.querySelector("[data-write]") !== null;
  }

  /** What somebody who is signed in was when the page was made. */
  get role() {
    return document.querySelector('meta[name="chatzilla-me"]')?.getAttribute("data-role") ?? "";
  }

  get name() {
    return this.#signedIn ?? ofThisTab.getItem("chatzilla.name") ?? "";
  }

  get token() {
    return this.signedIn ? undefined : (ofThisTab.getItem("chatzilla.token") ?? undefined);
  }

  get lastName() {
    return ofThisBrowser.getItem("chatzilla.name") ?? "";
  }

  /**
   * @param {string} name
   * @param {string | undefined} token
   */
  keep(name, token) {
    if (this.signedIn) return;
    ofThisTab.setItem("chatzilla.name", name);
    ofThisBrowser.setItem("chatzilla.name", name);
    if (token) ofThisTab.setItem("chatzilla.token", token);
    else ofThisTab.removeItem("chatzilla.token");
  }

  /** Another tab may have signed this browser in as somebody else meanwhile: then the page is theirs. */
  async lookAgain() {
    if (!this.signedIn) return;
    // Where it cannot be had, what the person does next is refused once more, and asked about again.
    const loaded = await import("./api.js").catch(() => null);
    const result = await loaded?.api.me();
    if (result?.ok && result.answer.you.name !== this.name) location.reload();
  }

  forget() {
    ofThisTab.removeItem("chatzilla.name");
    ofThisTab.removeItem("chatzilla.token");
  }
}
