// Where a person comes in and goes out: by the card, or signed in already; back to the card, or out of this browser.

/** @import { LandingCard } from "./views/landing.js" */
/** @import { Around } from "./views/chat-view.js" */

import { Identity } from "./identity.js";
import { ChatView } from "./views/chat-view.js";
import { tell, wanted } from "./views/frame.js";
import { counted } from "./words.js";

export class Porch {
  #identity = new Identity();
  #card;
  #around;
  /** @type {ChatView | null} */
  #chat = null;
  /** Whether a sign-out that is under way comes to its end, which is another page. */
  #signingOut = Promise.resolve(false);

  /**
   * @param {LandingCard} card
   * @param {Around} around
   */
  constructor(card, around) {
    this.#card = card;
    this.#around = around;
    card.wishes = { join: (name) => void this.#come(name) };
  }

  /** The chat of whoever is here. */
  get chat() {
    return this.#chat;
  }

  /** Whoever is known is inside at once; anybody else is asked for a name. */
  open() {
    const { name, token, lastName } = this.#identity;
    if (name) this.#come(name, token).show();
    else this.#card.ask(lastName, "");
  }

  /** This person wants to go. */
  goOut() {
    if (this.#identity.signedIn) void this.#signOut();
    else this.#goAway();
  }

  /**
   * @param {string} name
   * @param {string} [token]
   */
  #come(name, token) {
    this.#chat?.close();
    const chat = new ChatView({ identity: this.#identity, name, token }, this.#around, (words) => this.#leave(name, words));
    this.#chat = chat;
    void chat.visit.begin();
    return chat.visit;
  }

  /**
   * Back to the card.
   *
   * @param {string} name   To begin with.
   * @param {string} words  Why.
   */
  #leave(name, words) {
    // Without the sign-in there is another page: it says what happened, and how to come back.
    if (this.#identity.signedIn) return void this.#signingOut.then((done) => done || location.reload());
    this.#chat?.close();
    this.#chat = null;
    this.#identity.forget();
    return this.#card.ask(name, words);
  }

  /** Back to the card, where the next one types a name; what is not sent waits for this one. */
  #goAway() {
    const { name, lastName } = this.#identity;
    const waiting = this.#unsent(`not sent yet: what waits here is sent when you come back as “${name}”.`);
    if (waiting && !confirm(`${waiting} Leave now?`)) return;
    this.#leave(lastName, "");
  }

  async #signOut() {
    const lost = this.#unsent("not sent yet, and will be lost.");
    if (!confirm(`Sign out of this browser? You need a link to come back. ${lost}`.trim())) return;
    const loaded = await wanted(() => import("./api.js"));
    if (loaded) this.#signingOut = this.#endSignIn(loaded.api);
  }

  /** @param {typeof import("./api.js").api} api */
  async #endSignIn(api) {
    const result = await api.signOut();
    if (!result.ok && result.refusal.code !== "sign-in") {
      tell(result.refusal.message);
      return false;
    }
    await this.#chat?.forget();
    location.assign("/");
    return true;
  }

  /**
   * What is to be known of unsent messages before one goes; empty where there are none.
   *
   * @param {string} words
   */
  #unsent(words) {
    const count = this.#chat?.visit.writing.unsent ?? 0;
    return count > 0 ? `${counted(count, "message is", "messages are")} ${words}` : "";
  }
}
