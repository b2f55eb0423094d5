// One person, and what may be done to them: the role, a room's kick and ban, the server's. Nothing is done before it is
// said what will happen. Loaded when it is first opened.

/** @import { Refusal, Result } from "../protocol.js" */

import { api } from "../api.js";
import { counted } from "../words.js";
import { Dialog } from "./dialog.js";
import { styled } from "./styled.js";

/** `verified` is undefined where it is not known. @typedef {{id: string, name: string, verified?: boolean}} Somebody */
/** @typedef {{id: string, name: string}} Place */

/**
 * @typedef {object} Act
 * @property {string} button
 * @property {(who: string, where: string) => string} title
 * @property {(person: Somebody) => string} words   What will happen.
 * @property {boolean} [bans]
 * @property {boolean} [there]    In the room, and not everywhere.
 * @property {(person: Somebody, room: string | undefined, hours: number | undefined) => Promise<Result<any>>} run
 * @property {string} done
 */

const ROLES = new Map([["owner", "Owner"], ["admin", "Admin"], ["member", "Member"], ["bot", "Bot"]]);
const GONE = "removed";
const UNVERIFIED = "Unverified: this name was only typed.";

/** @param {Somebody} person */
function banWords({ verified }) {
  const signedIn = "They are out at once, wherever they are signed in, and cannot come back until the ban is over.";
  const typed = "This name was only typed, so the ban is one of the address that it is here from. Everybody behind that "
    + "address who has not signed in is out too, whoever they are.";
  if (verified === undefined) return `${signedIn} If their name was only typed, it is their address that is banned.`;
  return verified ? signedIn : typed;
}

/** @type {Record<string, Act>} */
const ACTS = {
  kick: {
    button: "Turn out",
    title: (who, where) => `Turn ${who} out of ${where}?`,
    words: () => "They leave the room now, on all their devices. They may come back.",
    there: true,
    run: ({ id }, room) => api.kick({ room, account: id }),
    done: "Out of the room.",
  },
  "ban-there": {
    button: "Ban",
    title: (who, where) => `Ban ${who} from ${where}?`,
    words: banWords,
    bans: true,
    there: true,
    run: ({ id }, room, hours) => api.ban({ account: id, room, hours }),
    done: "Banned from the room.",
  },
  "purge-there": {
    button: "Delete",
    title: (who, where) => `Delete all that ${who} said in ${where}?`,
    words: () => "Their messages stay as empty lines, for everybody. The texts are gone for good.",
    there: true,
    run: ({ id }, room) => purge(id, room),
    done: "Deleted.",
  },
  ban: {
    button: "Ban",
    title: (who) => `Ban ${who} from this server?`,
    words: banWords,
    bans: true,
    run: ({ id }, _, hours) => api.ban({ account: id, hours }),
    done: "Banned.",
  },
  purge: {
    button: "Delete",
    title: (who) => `Delete all that ${who} said, in every room?`,
    words: () => "Their messages stay as empty lines, for everybody. The texts are gone for good.",
    run: ({ id }) => purge(id, undefined),
    done: "Deleted.",
  },
  remove: {
    button: "Remove",
    title: (who) => `Remove ${who} from this server?`,
    words: () =>
      "They are signed out everywhere, and the links that they made end. What they said stays, and so does their name. "
      + "Give them a role to let them in again.",
    run: ({ id }) => api.removePerson(id),
    done: "Removed.",
  },
};

export class PersonCard extends Dialog {
  /** Called when this browser is not signed in any more. */
  signedOut = () => {};
  /** @type {Somebody | null} */
  #person = null;
  /** @type {Place | null} */
  #place = null;
  /** @type {Act | null} */
  #act = null;
  /** Tells an answer that comes late whom it is about. */
  #turn = 0;

  #sure = this.piece("[data-sure]", HTMLElement);
  #choices = this.piece("[data-choices]", HTMLElement);
  #really = this.piece("[data-really]", HTMLButtonElement);
  #role = this.piece("[name=role]", HTMLSelectElement);
  #hours = this.piece("[name=hours]", HTMLSelectElement);
  #too = this.piece("[name=too]", HTMLInputElement);

  constructor() {
    super();
    for (const button of this.querySelectorAll("[data-act]")) {
      const name = button.getAttribute("data-act") ?? "";
      button.addEventListener("click", () => this.#ask(ACTS[name]));
    }
    this.#on("[data-keep]", () => this.#leaveQuestion());
    this.#on("[data-really]", () => void this.#do());
    this.piece("form", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#changeRole();
    });
    this.dialog.addEventListener("cancel", (event) => {
      if (this.#sure.hidden) return;
      event.preventDefault(); // Escape takes one step back, as Cancel does
      this.#leaveQuestion();
    });
  }

  /**
   * @param {Somebody} person
   * @param {Place | null} place  The room, if one may keep order there.
   */
  async open(person, place) {
    this.#person = person;
    this.#place = place;
    this.#turn += 1;
    const turn = this.#turn;
    this.say("");
    this.#report("");
    this.#hideQuestion();
    this.piece("[data-name]", HTMLElement).textContent = person.name;
    this.piece("[data-facts]", HTMLElement).textContent = person.verified === false ? UNVERIFIED : "";
    this.piece("[data-there]", HTMLElement).hidden = place === null;
    this.piece("[data-room]", HTMLElement).textContent = place?.name ?? "";
    this.piece("[data-role-section]", HTMLElement).hidden = true;
    this.piece("[data-everywhere]", HTMLElement).hidden = true;
    this.show();
    const me = await api.me();
    if (turn !== this.#turn) return;
    if (!me.ok) return this.#refuse(me.refusal);
    const gives = me.answer.gives ?? [];
    this.piece("[data-everywhere]", HTMLElement).hidden = gives.length === 0;
    this.piece("[data-act=remove]", HTMLElement).hidden = true;
    return gives.length > 0 && person.verified !== false ? this.#showRole(person, gives, turn) : undefined;
  }

  /**
   * @param {Somebody} person
   * @param {string[]} gives  The roles that one may give.
   * @param {number} turn
   */
  async #showRole(person, gives, turn) {
    const result = await api.people();
    if (turn !== this.#turn) return;
    if (!result.ok) return this.#refuse(result.refusal);
    const role = result.answer.people.find(({ id }) => id === person.id)?.role;
    person.verified = role !== undefined;
    if (role === undefined) {
      this.piece("[data-facts]", HTMLElement).textContent = UNVERIFIED;
      return undefined;
    }
    this.piece("[data-facts]", HTMLElement).textContent = role === GONE ? "Removed from this server." : `Role: ${role}.`;
    const options = gives.map((each) => new Option(ROLES.get(each) ?? each, each));
    if (!gives.includes(role)) options.unshift(new Option(role === GONE ? "None" : role, ""));
    this.#role.replaceChildren(...options);
    this.#role.value = gives.includes(role) ? role : "";
    this.piece("[data-role-section]", HTMLElement).hidden = false;
    this.piece("[data-act=remove]", HTMLElement).hidden = role === GONE;
    return undefined;
  }

  async #changeRole() {
    const [person, role] = [this.#person, this.#role.value];
    if (!person || role === "") return undefined;
    const result = await api.setRole(person.id, role);
    if (!result.ok) return this.#refuse(result.refusal);
    await this.open(person, this.#place);
    return this.#report(`${person.name} is ${role} now.`);
  }

  /** @param {Act} act */
  #ask(act) {
    if (!this.#person) return;
    this.#act = act;
    this.say("");
    this.#report("");
    this.piece("[data-sure-title]", HTMLElement).textContent = act.title(this.#person.name, this.#place?.name ?? "");
    this.piece("[data-sure-words]", HTMLElement).textContent = act.words(this.#person);
    this.piece("[data-sure-time]", HTMLElement).hidden = !act.bans;
    this.piece("[data-sure-too]", HTMLElement).hidden = !act.bans;
    this.#too.checked = false;
    this.#hours.value = act.bans && !this.#person.verified ? "24" : "";
    this.#really.textContent = act.button;
    this.#really.disabled = false;
    this.#choices.hidden = true;
    this.#sure.hidden = false;
    this.piece("[data-keep]", HTMLButtonElement).focus();
  }

  async #do() {
    const [act, person, place] = [this.#act, this.#person, this.#place];
    if (!act || !person) return undefined;
    this.#really.disabled = true;
    const hours = this.#hours.value === "" ? undefined : Number(this.#hours.value);
    const room = act.there ? place?.id : undefined;
    const result = await act.run(person, room, hours);
    const too = result.ok && act.bans && this.#too.checked ? await purge(person.id, room) : null;
    if (this.#person !== person) return undefined;
    await this.open(person, place);
    if (!result.ok) return this.#refuse(result.refusal);
    if (too && !too.ok) this.#refuse(too.refusal);
    const deleted = (too?.ok ? too : result).answer?.messages;
    const count = deleted === undefined ? "" : ` ${counted(deleted, "message is", "messages are")} gone.`;
    return this.#report(act.done + count);
  }

  #leaveQuestion() {
    this.#hideQuestion();
    /** @type {HTMLElement | null} */ (this.querySelector("[data-choices] button:not([hidden])"))?.focus();
  }

  #hideQuestion() {
    this.#sure.hidden = true;
    this.#choices.hidden = false;
    this.#act = null;
  }

  /** @param {string} words */
  #report(words) {
    this.piece("[data-done]", HTMLElement).textContent = words;
  }

  /** @param {Refusal} refusal */
  #refuse({ code, message }) {
    if (code === "sign-in") this.signedOut();
    this.say(message);
  }

  /**
   * @param {string} selector
   * @param {() => void} act
   */
  #on(selector, act) {
    this.piece(selector, HTMLElement).addEventListener("click", act);
  }
}

/**
 * Delete all that somebody said, as often as there is more.
 *
 * @param {string} account
 * @param {string | undefined} room
 * @returns {Promise<Result<{messages: number}>>}
 */
async function purge(account, room) {
  let messages = 0;
  while (true) {
    const result = await api.purge({ account, room });
    if (!result.ok) return result;
    messages += result.answer.messages;
    if (!result.answer.more) return { ok: true, answer: { messages } };
  }
}

await Promise.all([styled("people.css"), styled("order.css")]);
customElements.define("person-card", PersonCard);
