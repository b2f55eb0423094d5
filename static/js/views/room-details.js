// Everything about the room that is open: what it is, who is in it, and what this person may do about that.

/** @import { Hall } from "../dialogs.js" */
/** @import { Everybody, Member, Result, Roll } from "../protocol.js" */

import { LOBBY } from "../protocol.js";
import { counted, hueOf, initialsOf } from "../words.js";
import { Dialog } from "./dialog.js";
import { PeoplePicker } from "./people-picker.js";

const KINDS = {
  public: "A room for everybody on this server",
  private: "A private room: for its members alone",
  direct: "A direct conversation",
};
/** @type {Record<string, string>} */
const GRADES = { read: "may only read", moderate: "moderates" };

export class RoomDetails extends Dialog {
  #about = this.piece("[data-about]", HTMLElement);
  #mute = this.piece("[data-mute]", HTMLButtonElement);
  #rename = this.piece("[data-rename]", HTMLButtonElement);
  #archive = this.piece("[data-toggle-archive]", HTMLButtonElement);
  #leave = this.piece("[data-leave-room]", HTMLButtonElement);
  #naming = this.piece("#details-form", HTMLFormElement);
  #name = this.piece("#details-name", HTMLInputElement);
  #topic = this.piece("#details-topic", HTMLInputElement);
  #inviting = this.piece("[data-inviting]", HTMLDetailsElement);
  #picker = new PeoplePicker(this.piece("[data-picker]", HTMLFieldSetElement));
  #members = this.piece("[data-members]", HTMLElement);
  #template = this.piece("[data-member]", HTMLTemplateElement);
  /** @type {Hall} */
  #hall = /** @type {any} */ (null);
  #room = "";

  constructor() {
    super();
    this.#mute.addEventListener("click", () => void this.#toggleMute());
    this.#rename.addEventListener("click", () => this.#showNaming(this.#naming.hidden === true));
    this.#archive.addEventListener("click", () => void this.#toggleArchive());
    this.#leave.addEventListener("click", () => void this.#go());
    this.#naming.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#save();
    });
    this.piece("[data-invite]", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#invite();
    });
  }

  /** @param {Hall} hall */
  async open(hall) {
    this.#hall = hall;
    this.#room = hall.room;
    this.#members.replaceChildren();
    this.#inviting.hidden = true;
    this.#inviting.open = false;
    this.#showNaming(false);
    this.#show();
    this.show();
    await this.#refresh();
  }

  get #known() {
    return this.#hall.rooms.get(this.#room);
  }

  #show() {
    const { kind, name, topic, archived, muted } = this.#known;
    const may = (/** @type {string} */ act) => this.#hall.may(act);
    this.piece("[data-title]", HTMLElement).textContent = name;
    this.piece("[data-kind]", HTMLElement).textContent = archived ? `${KINDS[kind]}, archived` : KINDS[kind];
    this.#about.textContent = topic;
    this.#mute.textContent = muted ? "Unmute" : "Mute";
    this.#mute.setAttribute("aria-label", muted ? "Unmute: tell me of new messages again" : "Mute: tell me of new messages no more");
    this.#rename.hidden = !may("rename");
    this.#archive.hidden = !may("archive") || this.#room === LOBBY;
    this.#archive.textContent = archived ? "Open it again" : "Archive";
    const guest = document.querySelector("[data-make]") === null;
    this.#leave.hidden = kind === "direct" || this.#room === LOBBY || guest;
  }

  async #refresh() {
    /** @type {Result<Roll>} */
    const result = await this.#hall.ask("members", { room: this.#room });
    if (!result.ok) return this.say(result.refusal.message);
    const { members, count } = result.answer;
    this.#showMembers(members, count);
    return this.#hall.may("invite") ? this.#offerPeople(members) : undefined;
  }

  /**
   * @param {Member[]} members
   * @param {number} count
   */
  #showMembers(members, count) {
    this.piece("[data-members-title]", HTMLElement).textContent = counted(count, "person", "people");
    this.#members.replaceChildren(...members.map((member) => this.#entry(member)));
    const more = this.piece("[data-more]", HTMLElement);
    more.hidden = count <= members.length;
    more.textContent = `and ${(count - members.length).toLocaleString()} more`;
  }

  /** @param {Member} member */
  #entry(member) {
    const { id, name, grade, here, online, verified } = member;
    const me = this.#hall.you;
    const may = (/** @type {string} */ act) => this.#hall.may(act);
    const fragment = /** @type {DocumentFragment} */ (this.#template.content.cloneNode(true));
    const avatar = /** @type {HTMLElement} */ (fragment.querySelector(".avatar"));
    const [strong, facts] = fragment.querySelectorAll("strong, strong + span");
    const select = /** @type {HTMLSelectElement} */ (fragment.querySelector("[data-grade]"));
    const write = /** @type {HTMLButtonElement} */ (fragment.querySelector("[data-write-to]"));
    const remove = /** @type {HTMLButtonElement} */ (fragment.querySelector("[data-remove]"));
    avatar.textContent = initialsOf(name);
    avatar.style.setProperty("--hue", String(hueOf(id)));
    avatar.classList.toggle("is-online", online);
    strong.textContent = name;
    const mine = id === me?.id;
    const whereabouts = here ? "here" : online ? "online" : "away";
    select.hidden = !may("grade") || verified !== true || this.#known.kind === "direct";
    const words = [mine && "me", whereabouts, select.hidden && GRADES[grade], !verified && "unverified"];
    facts.textContent = words.filter(Boolean).join(" · ");
    select.value = grade;
    select.setAttribute("aria-label", `What ${name} may do here`);
    select.addEventListener("change", () => void this.#do("invite", { account: id, grade: select.value }));
    write.hidden = mine || verified !== true || document.querySelector("[data-write]") === null;
    write.setAttribute("aria-label", `Message ${name}`);
    write.addEventListener("click", () => {
      this.dialog.close();
      void this.#hall.writeTo([id]);
    });
    remove.hidden = mine || !may("remove") || this.#known.kind !== "private";
    remove.setAttribute("aria-label", `Remove ${name}`);
    remove.addEventListener("click", () => void this.#remove(member));
    return fragment;
  }

  /** @param {Member[]} members */
  async #offerPeople(members) {
    /** @type {Result<Everybody>} */
    const result = await this.#hall.ask("people", {});
    if (!result.ok) return this.say(result.refusal.message);
    const inside = new Set(members.map(({ id }) => id));
    this.#picker.offer(result.answer.people.filter(({ id }) => !inside.has(id)));
    this.#inviting.hidden = false;
    return undefined;
  }

  async #toggleMute() {
    const on = !this.#known.muted;
    if (!(await this.#do("mute", { on }))) return;
    this.#hall.learn({ room: this.#room, last: this.#known.last, muted: on });
    this.#show();
  }

  async #toggleArchive() {
    const { archived, name } = this.#known;
    if (!archived && !confirm(`Archive “${name}”? It can be read, and nothing is said there any more.`)) return;
    await this.#change({ archived: !archived });
  }

  async #save() {
    const [name, topic] = [this.#name.value.trim(), this.#topic.value.trim()];
    const known = this.#known;
    /** @type {{name?: string, topic?: string}} */
    const wish = {};
    if (name !== known.name) wish.name = name;
    if (topic !== known.topic) wish.topic = topic;
    if (Object.keys(wish).length === 0 || (await this.#change(wish))) {
      this.#showNaming(false);
      this.#rename.focus();
    }
  }

  /** @param {object} wish */
  async #change(wish) {
    const answer = await this.#do("change-room", wish);
    if (!answer) return false;
    this.#hall.learn(answer.room);
    this.#show();
    return true;
  }

  async #invite() {
    this.say("");
    const { chosen } = this.#picker;
    if (chosen.length === 0) return this.say("Tick whom you want to invite.");
    for (const account of chosen) if (!(await this.#do("invite", { account }))) return undefined;
    this.#inviting.open = false;
    await this.#refresh();
    this.piece("[data-members-title]", HTMLElement).focus();
    return undefined;
  }

  /** @param {Member} member */
  async #remove({ id, name }) {
    if (!confirm(`Remove ${name} from “${this.#known.name}”?`)) return;
    if (!(await this.#do("remove", { account: id }))) return;
    await this.#refresh();
    this.piece("[data-members-title]", HTMLElement).focus();
  }

  async #go() {
    const me = this.#hall.you?.id;
    const { kind, name } = this.#known;
    const back = kind === "private" ? " You can only come back when somebody invites you." : "";
    if (!me || !confirm(`Leave “${name}” for good?${back}`)) return;
    if (await this.#do("remove", { account: me })) this.dialog.close();
  }

  /** @param {boolean} open */
  #showNaming(open) {
    this.#naming.hidden = !open;
    this.#rename.setAttribute("aria-expanded", String(open));
    if (!open) return;
    this.#name.value = this.#known.name;
    this.#topic.value = this.#known.topic;
    this.#name.focus();
  }

  /**
   * @param {string} event
   * @param {object} question
   * @returns {Promise<any>} The answer, or nothing where it was refused, which is said.
   */
  async #do(event, question) {
    const result = await this.#hall.ask(event, { room: this.#room, ...question });
    this.say(result.ok ? "" : result.refusal.message);
    if (!result.ok && event === "invite") void this.#refresh();
    return result.ok ? result.answer : null;
  }
}

customElements.define("room-details", RoomDetails);
