// The dialog that makes a room, and the same for writing to people directly.

/** @import { Hall } from "../dialogs.js" */
/** @import { Everybody, Listing, Result } from "../protocol.js" */

import { uuid } from "../outbox.js";
import { Dialog } from "./dialog.js";
import { PeoplePicker } from "./people-picker.js";

export class NewRoom extends Dialog {
  #form = this.piece("form", HTMLFormElement);
  #fields = this.piece("[data-room-fields]", HTMLElement);
  #name = this.piece("[name=name]", HTMLInputElement);
  #private = this.piece("[value=private]", HTMLInputElement);
  #submit = this.piece("[data-submit]", HTMLButtonElement);
  #people = this.piece("[data-picker]", HTMLFieldSetElement);
  #picker = new PeoplePicker(this.#people);
  /** @type {Hall | null} */
  #hall = null;
  #direct = false;
  /** What was asked for last, and by which id: asked once more, because no answer came, it is the same room. */
  #wish = { plan: "", client_id: "" };

  constructor() {
    super();
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#make();
    });
  }

  /** @param {Hall} hall */
  async make(hall) {
    this.#begin(hall, false, "Make a room", "Make the room");
    this.#name.focus();
    /** @type {Result<Listing>} */
    const result = await hall.ask("rooms", {});
    if (!result.ok) return this.say(result.refusal.message);
    const mayHide = result.answer.makes.includes("private");
    this.#private.disabled = !mayHide;
    this.piece("[data-no-private]", HTMLElement).hidden = mayHide;
    return mayHide ? this.#offerPeople(hall) : undefined;
  }

  /** @param {Hall} hall */
  async write(hall) {
    this.#begin(hall, true, "Write to somebody", "Begin");
    await this.#offerPeople(hall);
    this.#picker.focus();
  }

  /**
   * @param {Hall} hall
   * @param {boolean} direct
   * @param {string} title
   * @param {string} label
   */
  #begin(hall, direct, title, label) {
    this.#hall = hall;
    this.#direct = direct;
    this.#form.reset();
    this.#fields.hidden = direct;
    this.#people.hidden = true;
    this.#submit.disabled = false;
    this.#submit.textContent = label;
    this.piece("[data-title]", HTMLElement).textContent = title;
    this.show();
  }

  /** @param {Hall} hall */
  async #offerPeople(hall) {
    /** @type {Result<Everybody>} */
    const result = await hall.ask("people", {});
    if (!result.ok) return this.say(result.refusal.message);
    this.#picker.offer(result.answer.people.filter(({ id }) => id !== hall.you?.id));
    this.#people.hidden = false;
    return undefined;
  }

  async #make() {
    const hall = this.#hall;
    if (!hall) return;
    const fields = new FormData(this.#form);
    const people = this.#picker.chosen;
    const question = this.#direct
      ? { people }
      : this.#known({ name: fields.get("name"), topic: fields.get("topic"), kind: fields.get("kind"), people });
    this.#submit.disabled = true;
    const result = await hall.ask(this.#direct ? "direct" : "create", question);
    this.#submit.disabled = false;
    if (!result.ok) {
      this.say(result.refusal.message);
      return;
    }
    this.#wish.plan = "";
    this.dialog.close();
    hall.enter(result.answer.room);
  }

  /**
   * A plan with the id by which the server knows it again.
   *
   * @param {object} plan
   */
  #known(plan) {
    const words = JSON.stringify(plan);
    if (words !== this.#wish.plan) this.#wish = { plan: words, client_id: uuid() };
    return { ...plan, client_id: this.#wish.client_id };
  }
}

customElements.define("new-room", NewRoom);
