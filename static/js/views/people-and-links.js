// The dialog in which one makes links and ends them, and sees who is signed in where. Loaded when it is first opened.

/** @import { Link, MadeLink, SignIn } from "../api.js" */
/** @import { Refusal } from "../protocol.js" */

import { api } from "../api.js";
import { deviceOf, fromNow } from "../devices.js";
import { roomIdOf } from "../protocol.js";
import { counted } from "../words.js";
import { part } from "./part.js";
import { ProgramsAndHooks } from "./programs-and-hooks.js";
import { styled } from "./styled.js";

const COPIED_SHOWN_MS = 2_000;

const ROLES = new Map([
  ["owner", "Owner"],
  ["admin", "Admin"],
  ["member", "Member"],
  ["guest", "Guest, in one room"],
  ["bot", "Bot"],
]);
const USUAL = "member";

export class PeopleAndLinks extends HTMLElement {
  /** Called when this browser is not signed in any more. */
  signedOut = () => {};
  /** What a room is called. */
  nameOf = (/** @type {string} */ room) => room;

  #dialog = part(this, "dialog", HTMLDialogElement);
  #programs = part(this, "programs-and-hooks", ProgramsAndHooks);
  #refused = part(this, "[data-refused]", HTMLElement);
  #made = part(this, "[data-made]", HTMLElement);
  #form = part(this, "form", HTMLFormElement);
  #url = part(this, "[data-url]", HTMLInputElement);
  #copy = part(this, "[data-copy]", HTMLButtonElement);
  #entry = part(this, "[data-entry]", HTMLTemplateElement);
  #role = part(this, "[name=role]", HTMLSelectElement);
  #room = part(this, "[name=room]", HTMLInputElement);
  #email = part(this, "[name=email]", HTMLInputElement);

  constructor() {
    super();
    this.#on("[data-close]", () => this.#dialog.close());
    this.#on("[data-phone]", () => void this.#makePhoneLink());
    this.#on("[data-end-others]", () => void this.#do(api.endOthers()));
    this.#on("[data-made-done]", () => this.#hideMade());
    this.#on("[data-copy]", () => void this.#copyUrl());
    this.#url.addEventListener("focus", () => this.#url.select());
    this.#programs.changed = () => void this.#refresh();
    this.#dialog.addEventListener("close", () => {
      this.#hideMade();
      this.#programs.hideMade();
    });
    // A touch beside the dialog closes it, as it closes the sidebar.
    this.#dialog.addEventListener("click", (event) => {
      if (event.target === this.#dialog) this.#dialog.close();
    });
    this.#role.addEventListener("change", () => this.#showGuestNote());
    this.#email.addEventListener("input", () => this.#nameButton());
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#invite();
    });
  }

  /** @param {string} room  The room that one is in. */
  async open(room) {
    this.#room.value = room;
    this.#say("");
    this.#dialog.showModal();
    const result = await api.me();
    if (!result.ok) return this.#refuse(result.refusal);
    const { invites, makes, sign_in } = result.answer;
    this.#programs.nameOf = this.nameOf;
    void this.#programs.open(room, makes, this.#entry);
    part(this, "[data-by-mail]", HTMLElement).hidden = sign_in !== "email";
    part(this, "[data-inviting]", HTMLElement).hidden = invites.length === 0;
    part(this, "[data-links-section]", HTMLElement).hidden = invites.length === 0;
    part(this, "[data-phone]", HTMLElement).hidden = invites.length === 0;
    this.#role.replaceChildren(...invites.map((role) => new Option(ROLES.get(role) ?? role, role)));
    this.#role.value = invites.includes(USUAL) ? USUAL : (invites[0] ?? "");
    this.#showGuestNote();
    return this.#refresh();
  }

  async #refresh() {
    const [links, signIns] = await Promise.all([api.links(), api.signIns()]);
    if (!links.ok) return this.#refuse(links.refusal);
    if (!signIns.ok) return this.#refuse(signIns.refusal);
    const now = Date.now();
    part(this, "[data-links]", HTMLElement).replaceChildren(
      ...links.answer.links.map((link) => this.#linkEntry(link, now)),
    );
    part(this, "[data-no-links]", HTMLElement).hidden = links.answer.links.length > 0;
    const { sign_ins } = signIns.answer;
    const mine = sign_ins.find(({ current }) => current)?.person.id;
    const own = sign_ins.filter(({ person }) => person.id === mine);
    const others = sign_ins.filter(({ person }) => person.id !== mine);
    others.sort((a, b) => a.person.name.localeCompare(b.person.name) || b.seen_at - a.seen_at);
    own.sort((a, b) => Number(b.current) - Number(a.current) || b.seen_at - a.seen_at);
    part(this, "[data-sign-ins]", HTMLElement).replaceChildren(
      ...[...own, ...others].map((signIn) => this.#signInEntry(signIn, now)),
    );
    part(this, "[data-end-others]", HTMLElement).hidden = own.length < 2;
    return undefined;
  }

  async #invite() {
    const fields = new FormData(this.#form);
    const typed = String(fields.get("room") ?? "").trim();
    const room = typed === "" ? undefined : roomIdOf(typed);
    if (room === null) return this.#say("A room’s name has letters, digits, hyphens and underscores.");
    const role = String(fields.get("role"));
    const email = String(fields.get("email") ?? "").trim() || undefined;
    const terms = { role, room, hours: Number(fields.get("hours")), uses: Number(fields.get("uses")), email };
    const result = await api.makeLink(terms);
    if (!result.ok) return this.#refuse(result.refusal);
    const { link, mailed } = result.answer;
    if (link.email) {
      this.#email.value = "";
      this.#nameButton();
      const told = mailed ? "A mail tells them so" : "No mail could be sent: tell them yourself";
      return this.#show(result.answer, `${link.email} may come in`, `${told}. They sign in here, with that address:`);
    }
    const who = link.uses === 1 ? "one person" : counted(link.uses, "person", "people");
    return this.#show(result.answer, "The invitation", `For ${who}. It is shown only now: copy it, or let it be scanned.`);
  }

  async #makePhoneLink() {
    const result = await api.makeLink({ account: "me" });
    if (!result.ok) return this.#refuse(result.refusal);
    return this.#show(
      result.answer,
      "Open on my phone",
      "Scan this with your phone’s camera. It signs you in there, once and within ten minutes: show it to nobody else.",
    );
  }

  /**
   * @param {MadeLink} made
   * @param {string} title
   * @param {string} hint
   */
  #show({ url, qr }, title, hint) {
    this.#say("");
    part(this, "[data-made-title]", HTMLElement).textContent = title;
    part(this, "[data-made-hint]", HTMLElement).textContent = hint;
    part(this, "[data-qr]", SVGElement).setAttribute("viewBox", `0 0 ${qr.size} ${qr.size}`);
    part(this, "[data-qr] path", SVGElement).setAttribute("d", qr.path);
    this.#url.value = url;
    this.#made.hidden = false;
    this.#made.scrollIntoView({ block: "nearest" });
    this.#copy.focus();
    return this.#refresh();
  }

  #hideMade() {
    this.#made.hidden = true;
    this.#url.value = "";
    part(this, "[data-qr] path", SVGElement).removeAttribute("d");
  }

  async #copyUrl() {
    this.#url.select();
    try {
      await navigator.clipboard.writeText(this.#url.value);
    } catch {
      // Over plain http there is no clipboard; the field is selected, so the usual keys do it.
      if (!document.execCommand("copy")) return this.#say("Copy the selected link by hand.");
    }
    this.#copy.textContent = "Copied";
    setTimeout(() => (this.#copy.textContent = "Copy"), COPIED_SHOWN_MS);
    return undefined;
  }

  /**
   * @param {Link} link
   * @param {number} now
   */
  #linkEntry(link, now) {
    const what = link.person ? `Sign-in for ${link.person.name}` : `Invitation: ${(ROLES.get(link.role) ?? link.role).split(",")[0]}`;
    const words = [
      link.email && `for ${link.email}`,
      link.room && `into ${this.nameOf(link.room)}`,
      link.uses > 1 && `${link.used} of ${link.uses} used`,
      `ends ${fromNow(link.ends_at, now)}`,
      `by ${link.maker?.name ?? "the operator"}`,
    ];
    return this.#newEntry(what, words, "Revoke", () => void this.#do(api.revokeLink(link.id)));
  }

  /**
   * @param {SignIn} signIn
   * @param {number} now
   */
  #signInEntry({ id, person, seen_at, agent, program, current }, now) {
    const role = person.role === USUAL ? "" : ` (${person.role})`;
    const words = [program ? `program: ${agent}` : deviceOf(agent), current ? "this browser" : `last used ${fromNow(seen_at, now)}`];
    const end = async () => {
      if (current && !confirm("Sign out of this browser? You need a link to come back.")) return;
      await this.#do(api.endSignIn(id));
      if (current) this.signedOut();
    };
    return this.#newEntry(person.name + role, words, current ? "Sign out" : "End", () => void end());
  }

  /**
   * @param {string} what
   * @param {(string | null | false)[]} words
   * @param {string} label
   * @param {() => void} act
   */
  #newEntry(what, words, label, act) {
    const fragment = /** @type {DocumentFragment} */ (this.#entry.content.cloneNode(true));
    const [name, facts] = fragment.querySelectorAll("strong, strong + span");
    const button = /** @type {HTMLButtonElement} */ (fragment.querySelector("button"));
    name.textContent = what;
    facts.textContent = words.filter(Boolean).join(" · ");
    button.textContent = label;
    button.setAttribute("aria-label", `${label}: ${what}, ${facts.textContent}`);
    button.addEventListener("click", () => {
      button.disabled = true;
      act();
    });
    return fragment;
  }

  /** @param {ReturnType<typeof api.endSignIn>} doing */
  async #do(doing) {
    const result = await doing;
    if (!result.ok) this.#refuse(result.refusal);
    else this.#say("");
    await this.#refresh();
  }

  /** @param {Refusal} refusal */
  #refuse({ code, message }) {
    if (code === "sign-in") this.signedOut();
    this.#say(message);
  }

  /** @param {string} words */
  #say(words) {
    this.#refused.textContent = words;
  }

  #nameButton() {
    part(this, "[data-invite]", HTMLElement).textContent = this.#email.value.trim() ? "Invite by mail" : "Make a link";
  }

  #showGuestNote() {
    part(this, "[data-guest-note]", HTMLElement).hidden = this.#role.value !== "guest";
  }

  /**
   * @param {string} selector
   * @param {() => void} act
   */
  #on(selector, act) {
    part(this, selector, HTMLElement).addEventListener("click", act);
  }
}

await styled("people.css");
customElements.define("people-and-links", PeopleAndLinks);
