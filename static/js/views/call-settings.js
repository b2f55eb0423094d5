// Devices and connection: what is used, what is in the way, and how one is connected with each of the others.

/** @import { Kind } from "../call/capture.js" */
/** @import { Step } from "../call/check.js" */
/** @import { Meeting } from "../call/meeting.js" */

import { DeviceFields, copyOf } from "./call-parts.js";
import { part } from "./part.js";

const STATES = { running: "is being checked:", good: "works.", "so-so": "works, but:", bad: "does not work:" };
const WAYS = { host: "directly", srflx: "directly", prflx: "directly", relay: "through the relay" };

/**
 * @typedef {object} Wishes
 * @property {(kind: Kind | "speaker", id: string) => void} choose
 * @property {(report: (step: Step) => void) => Promise<void>} check
 */

export class CallSettings extends HTMLElement {
  /** @type {Wishes | null} */
  wishes = null;

  #dialog = part(this, "dialog", HTMLDialogElement);
  #steps = part(this, "[data-steps]", HTMLElement);
  #template = part(this, "[data-step]", HTMLTemplateElement);
  #again = part(this, "[data-check]", HTMLButtonElement);
  #fields = new DeviceFields(this);
  /** @type {Meeting | null} */
  #meeting = null;

  constructor() {
    super();
    part(this, "[data-close]", HTMLElement).addEventListener("click", () => this.#dialog.close());
    this.#dialog.addEventListener("click", (event) => {
      if (event.target === this.#dialog) this.#dialog.close();
    });
    this.#again.addEventListener("click", () => void this.#check());
    this.#fields.chosen = (kind, id) => this.wishes?.choose(kind, id);
  }

  open() {
    this.#dialog.showModal();
    if (this.#meeting) this.show(this.#meeting);
    void this.#check();
  }

  /** @param {Meeting} meeting */
  show(meeting) {
    this.#meeting = meeting;
    if (meeting.phase === "over") this.#dialog.close();
    if (!this.#dialog.open) return;
    this.#fields.show(meeting);
  }

  async #check() {
    if (this.#again.getAttribute("aria-disabled") === "true") return;
    this.#again.setAttribute("aria-disabled", "true");
    this.#steps.replaceChildren();
    await Promise.all([this.wishes?.check((step) => this.#show(step)), this.#showRoutes()]);
    this.#again.setAttribute("aria-disabled", "false");
  }

  /** @param {Step} step */
  #show({ key, title, state, words }) {
    const known = /** @type {HTMLElement | null} */ (this.#steps.querySelector(`[data-key=${key}]`));
    const item = known ?? copyOf(this.#template);
    item.dataset.key = key;
    item.dataset.state = state;
    part(item, "strong", HTMLElement).textContent = title;
    part(item, ".unseen", HTMLElement).textContent = STATES[state];
    part(item, "[data-words]", HTMLElement).textContent = state === "running" ? "" : words;
    if (!known) this.#steps.append(item);
  }

  async #showRoutes() {
    const routes = (await this.#meeting?.routes()) ?? [];
    part(this, "[data-routes-part]", HTMLElement).hidden = routes.length === 0;
    part(this, "[data-routes]", HTMLElement).replaceChildren(
      ...routes.map(({ id, local, remote, protocol, ms }) => {
        const item = document.createElement("li");
        const name = document.createElement("strong");
        item.className = "entry";
        name.textContent = id === "" ? "The server" : (this.#meeting?.call.participant(id)?.name ?? "");
        const way = local === "relay" || remote === "relay" ? WAYS.relay : WAYS.host;
        const facts = [way, protocol.toUpperCase(), ms !== null && `${Math.max(1, ms)} ms`].filter(Boolean).join(" · ");
        item.append(name, facts);
        return item;
      }),
    );
  }
}

customElements.define("call-settings", CallSettings);
