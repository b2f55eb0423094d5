// The messages of the open room: rows by key, days, the line above what is new, scrolling that never jumps.
// A row keeps its element from the first keystroke's "pending" to the server's "sent". What can be done with a message,
// an own one or, for whoever keeps order here, anybody's, is one small set of buttons, which goes to the row that is
// pointed at, tapped or reached by the keyboard.

/** @import { Letter } from "../outbox-store.js" */
/** @import { Message, Person } from "../protocol.js" */
/** @import { Entry } from "./message-row.js" */

import { counted, dayOf, sameDay, timeOf } from "../words.js";
import { belongsTo, entriesOf, fill, same, tombstoneOf } from "./message-row.js";

const DRAW_WITHIN_MS = 100;
const BOTTOM_WITHIN_PX = 64;
const LOAD_OLDER_WITHIN_PX = 600;
const DIVIDER_FROM_TOP = 0.2;
const SPOKEN_CHARACTERS = 280;

/**
 * What there is to show.
 *
 * @typedef {object} Scene
 * @property {string} room
 * @property {readonly Message[]} messages
 * @property {readonly Letter[]} letters  Of this room, not confirmed yet.
 * @property {string | null} editing      The id of the message that is being edited.
 * @property {Person | null} you
 * @property {boolean} keepsOrder         Whether this person may delete what others said here.
 * @property {boolean} closed             Whether this person can say nothing here now, and so edit nothing.
 * @property {boolean} loaded             Whether the room has answered at all.
 * @property {boolean} hasOlder
 * @property {{after: number, upTo: number}} missed  The numbers that came while the person was elsewhere.
 */

/**
 * What a person can ask for here.
 *
 * @typedef {object} Wishes
 * @property {() => void} older
 * @property {() => void} scrolled
 * @property {(client_id: string) => void} retry
 * @property {(client_id: string) => void} discard
 * @property {(id: string) => void} edit
 * @property {(id: string) => void} remove
 * @property {(person: Person) => void} person  What may be done to somebody.
 * @property {() => void} escape
 */

/** @typedef {{element: HTMLElement, entry: Entry, grouped: boolean}} Row */

export class MessageList extends HTMLElement {
  /** @type {Wishes | null} */
  wishes = null;

  /** @type {HTMLElement} */
  #log;
  /** @type {HTMLElement} */
  #beginning;
  /** @type {HTMLButtonElement} */
  #jump;
  /** @type {HTMLTemplateElement} */
  #template;

  /** @type {HTMLElement} */
  #tools;
  /** @type {HTMLElement} */
  #confirm;

  /** @type {Scene | null} */
  #scene = null;
  /** @type {Map<string, Row>} */
  #rows = new Map();
  /** @type {Map<string, HTMLElement>} */
  #lines = new Map();
  #drawing = false;
  #room = "";
  /** Whether the messages of this room have been on screen. */
  #arrived = false;
  #stuck = true;
  /** The number of the newest message that was at the bottom of the view. */
  #seenUpTo = 0;

  constructor() {
    super();
    this.#log = /** @type {HTMLElement} */ (this.querySelector("[role=log]"));
    this.#beginning = /** @type {HTMLElement} */ (this.querySelector("[data-beginning]"));
    this.#jump = /** @type {HTMLButtonElement} */ (this.querySelector("[data-jump]"));
    this.#tools = /** @type {HTMLElement} */ (this.querySelector("[data-tools]"));
    this.#confirm = /** @type {HTMLElement} */ (this.querySelector("[data-confirm]"));
    this.#template = /** @type {HTMLTemplateElement} */ (document.getElementById("message-template"));
  }

  connectedCallback() {
    this.#log.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    this.#log.addEventListener("keydown", (event) => this.#walk(event));
    this.#log.addEventListener("focusin", (event) => this.#speak(event));
    this.#log.addEventListener("click", (event) => this.#clicked(event));
    this.#log.addEventListener("pointerover", (event) => this.#pointed(event));
    this.#log.addEventListener("pointerleave", () => this.#left(document.activeElement));
    this.#log.addEventListener("focusin", (event) => this.#offer(event.target));
    this.#log.addEventListener("focusout", (event) => this.#left(event.relatedTarget));
    this.#jump.addEventListener("click", () => this.toNewest());
    // The keyboard of a phone, a growing composer, a picture that arrives: whoever is at the bottom stays there.
    new ResizeObserver(() => this.#stick()).observe(this.#log);
  }

  /** Whether the newest message is in sight; beside a call, the list may not be shown at all. */
  get atBottom() {
    return this.#stuck && this.#log.clientHeight > 0;
  }

  /** @param {Scene} scene */
  show(scene) {
    this.#scene = scene;
    if (this.#drawing) return;
    this.#drawing = true;
    const draw = () => {
      if (!this.#drawing) return;
      this.#drawing = false;
      this.#draw();
    };
    // Many messages in one moment are one drawing. A page that is hidden or covered gets no frames, and must be right.
    requestAnimationFrame(draw);
    setTimeout(draw, DRAW_WITHIN_MS);
  }

  toNewest() {
    this.#stuck = true;
    this.#stick();
    this.#updateJump();
  }

  /**
   * Ask whether a message should be deleted.
   *
   * @param {string} id
   */
  confirmDeletion(id) {
    const row = [...this.#rows.values()].find(({ entry }) => entry.message === id);
    if (!row || !this.#isChangeable(row.entry)) return;
    this.#hideTools();
    const { mine, name } = row.entry;
    const [words, question] = mine ? ["", "this message"] : [`${name}’s message `, `${name}’s message`];
    /** @type {HTMLElement} */ (this.#confirm.querySelector("[data-question]")).textContent = `Delete ${words}for everybody?`;
    this.#confirm.setAttribute("aria-label", `Delete ${question} for everybody?`);
    row.element.append(this.#confirm);
    this.#confirm.hidden = false;
    row.element.scrollIntoView({ block: "nearest" });
    /** @type {HTMLElement | null} */ (this.#confirm.querySelector("[data-keep]"))?.focus();
  }

  #draw() {
    const scene = this.#scene;
    if (!scene) return;
    if (scene.room !== this.#room) this.#clear(scene.room);
    const anchor = this.#stuck ? null : this.#firstInSight();
    this.#beginning.hidden = !scene.loaded || scene.hasOlder;
    this.#log.dataset.empty = String(scene.loaded && scene.messages.length + scene.letters.length === 0);
    this.#place(this.#elements(scene));
    this.#withdraw();
    if (anchor) this.#log.scrollTop += anchor.element.offsetTop - anchor.offset;
    else this.#stick();
    if (scene.loaded && !this.#arrived) this.#arrive(scene.missed.after);
    this.#scrolled();
  }

  /** @param {string} room */
  #clear(room) {
    this.#room = room;
    this.#arrived = false;
    this.#rows.clear();
    this.#lines.clear();
    this.#place([]);
    this.#stuck = true;
  }

  /**
   * All elements of the list from top to bottom, made or brought up to date.
   *
   * @param {Scene} scene
   */
  #elements(scene) {
    const elements = [];
    const entries = entriesOf(scene);
    const rows = new Map();
    const lines = new Map();
    const now = Date.now();
    const firstNew = this.#firstNew(scene, entries);
    /** @type {Entry | null} */
    let previous = null;
    for (const entry of entries) {
      const newDay = !previous || !sameDay(previous.at, entry.at);
      if (newDay) {
        // By a clock that was set back, a day can come twice, and an element can stand in one place only.
        const day = new Date(entry.at).toDateString();
        elements.push(this.#line(lines, "day", dayOf(entry.at, now), lines.has(day) ? `${day} ${entry.key}` : day));
      }
      if (entry === firstNew) elements.push(this.#line(lines, "new", "New since you left", "new"));
      const grouped = !newDay && entry !== firstNew && previous !== null && belongsTo(previous, entry);
      const row = this.#row(entry, grouped);
      rows.set(entry.key, row);
      elements.push(row.element);
      previous = entry;
    }
    this.#rows = rows;
    this.#lines = lines;
    return elements;
  }

  /**
   * The first message that came since the person left, if what came before it is loaded too.
   *
   * @param {Scene} scene
   * @param {Entry[]} entries
   */
  #firstNew(scene, entries) {
    const { after, upTo } = scene.missed;
    if (after === 0) return undefined;
    const first = entries.find(({ seq, mine }) => seq !== null && seq > after && seq <= upTo && !mine);
    return first === entries[0] && scene.hasOlder ? undefined : first;
  }

  /**
   * @param {Map<string, HTMLElement>} lines
   * @param {"day" | "new"} kind
   * @param {string} text
   * @param {string} key
   */
  #line(lines, kind, text, key) {
    let line = this.#lines.get(key);
    if (!line) {
      line = document.createElement("div");
      line.className = `line line-${kind}`;
      line.append(document.createElement("span"));
    }
    const [label] = line.children;
    if (label.textContent !== text) label.textContent = text;
    lines.set(key, line);
    return line;
  }

  /**
   * @param {Entry} entry
   * @param {boolean} grouped
   * @returns {Row}
   */
  #row(entry, grouped) {
    const row = this.#rows.get(entry.key);
    const element = row?.element ?? this.#newRow(entry);
    if (!row || row.grouped !== grouped || !same(row.entry, entry)) fill(element, entry, grouped, row?.entry);
    return { element, entry, grouped };
  }

  /** @param {Entry} entry */
  #newRow(entry) {
    const fragment = /** @type {DocumentFragment} */ (this.#template.content.cloneNode(true));
    const element = /** @type {HTMLElement} */ (fragment.firstElementChild);
    // Others choose theirs, so none of them may be the id of anything else on this page, now or later.
    element.id = `message-${entry.key}`;
    return element;
  }

  /**
   * Make these the children, after the beginning, and touch only what differs.
   *
   * @param {HTMLElement[]} elements
   */
  #place(elements) {
    const wanted = new Set(elements);
    for (const child of [...this.#log.children]) {
      if (child !== this.#beginning && !wanted.has(/** @type {HTMLElement} */ (child))) child.remove();
    }
    let next = this.#beginning.nextElementSibling;
    for (const element of elements) {
      if (element === next) next = next.nextElementSibling;
      else this.#log.insertBefore(element, next);
    }
  }

  /** The first row in sight and where it stands, to be found there again after the rows above it have changed. */
  #firstInSight() {
    const top = this.#log.scrollTop;
    for (const { element } of this.#rows.values()) {
      if (element.offsetTop + element.offsetHeight > top) return { element, offset: element.offsetTop };
    }
    return null;
  }

  #stick() {
    if (this.#stuck) this.#log.scrollTop = this.#log.scrollHeight;
  }

  /**
   * Begin to read where reading ended, if that is further up than one screen.
   *
   * @param {number} readUpTo
   */
  #arrive(readUpTo) {
    this.#arrived = true;
    this.#seenUpTo = readUpTo;
    const divider = this.#lines.get("new");
    if (!divider) return;
    const top = divider.offsetTop - this.#log.clientHeight * DIVIDER_FROM_TOP;
    if (top < this.#log.scrollTop) this.#log.scrollTop = top;
  }

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.#log;
    this.#stuck = scrollHeight - scrollTop - clientHeight < BOTTOM_WITHIN_PX;
    if (scrollTop < LOAD_OLDER_WITHIN_PX && this.#scene?.hasOlder) this.wishes?.older();
    this.#updateJump();
    this.wishes?.scrolled();
  }

  #updateJump() {
    const messages = this.#scene?.messages ?? [];
    if (this.#stuck) this.#seenUpTo = messages.at(-1)?.seq ?? 0;
    const fresh = messages.length - 1 - messages.findLastIndex(({ seq }) => seq <= this.#seenUpTo);
    this.#jump.hidden = this.#stuck;
    const count = /** @type {HTMLElement} */ (this.#jump.querySelector("[data-fresh]"));
    count.textContent = fresh > 0 ? counted(fresh, "new", "new") : "";
    count.hidden = fresh === 0;
  }

  /** @param {PointerEvent} event */
  #pointed(event) {
    // While the keyboard is on the buttons, or a question is open, the mouse moves nothing away.
    if (event.pointerType !== "mouse" || this.#tools.contains(document.activeElement)) return;
    this.#offer(event.target);
  }

  /**
   * Bring the buttons to a message that something can be done with.
   *
   * @param {EventTarget | null} target  Something in its row.
   */
  #offer(target) {
    const row = this.#rowOf(target);
    if (!row || row.element.contains(this.#tools) || row.element.contains(this.#confirm)) return;
    if (!this.#isChangeable(row.entry)) {
      this.#hideTools();
      return;
    }
    const { mine, name } = row.entry;
    this.#tools.setAttribute("aria-label", mine ? "Your message" : `The message of ${name}`);
    /** @type {HTMLElement} */ (this.#tools.querySelector("[data-edit]")).hidden = !mine || this.#scene?.closed === true;
    /** @type {HTMLElement} */ (this.#tools.querySelector("[data-person]")).hidden = mine;
    row.element.append(this.#tools);
    this.#tools.hidden = false;
  }

  /**
   * The pointer or the focus has gone elsewhere.
   *
   * @param {EventTarget | null} to
   */
  #left(to) {
    const row = this.#rowOf(this.#tools);
    if (!row || !(to instanceof Node && row.element.contains(to))) this.#hideTools();
  }

  #hideTools() {
    // To take away what has the focus moves the focus, which leads here again.
    if (this.#tools.hidden) return;
    this.#tools.hidden = true;
    this.append(this.#tools);
  }

  #hideConfirm() {
    if (this.#confirm.hidden) return;
    this.#confirm.hidden = true;
    this.append(this.#confirm);
  }

  /** Take the buttons away from rows that are gone, or can be changed no more. */
  #withdraw() {
    const tools = this.#rowOf(this.#tools);
    if (!this.contains(this.#tools) || (tools && !this.#isChangeable(tools.entry))) this.#hideTools();
    const confirm = this.#rowOf(this.#confirm);
    if (!this.contains(this.#confirm) || (confirm && !this.#isChangeable(confirm.entry))) this.#hideConfirm();
  }

  /**
   * Whether this person can delete it, and edit it where it is their own.
   *
   * @param {Entry} entry
   */
  #isChangeable({ mine, message, notice, deleted }) {
    return (mine || this.#scene?.keepsOrder === true) && message !== "" && !notice && !deleted;
  }

  /**
   * @param {EventTarget | null} target
   * @returns {Row | undefined}
   */
  #rowOf(target) {
    const element = target instanceof Element ? target.closest("[data-message]") : null;
    return element ? [...this.#rows.values()].find((row) => row.element === element) : undefined;
  }

  /**
   * The list is one stop of the tab key; arrows walk through its messages. Tab goes on to what can be done with one.
   *
   * @param {KeyboardEvent} event
   */
  #walk(event) {
    if (event.key === "Escape") {
      const inside = this.#rowOf(document.activeElement);
      this.#hideConfirm();
      if (inside && inside.element !== document.activeElement) inside.element.focus();
      else this.wishes?.escape();
      return;
    }
    const rows = [...this.#rows.values()].map(({ element }) => element);
    const at = rows.findIndex((row) => row.contains(document.activeElement));
    /** @type {Record<string, number>} */
    const steps = {
      ArrowUp: at < 0 ? rows.length - 1 : Math.max(at - 1, 0),
      ArrowDown: at < 0 ? rows.length - 1 : Math.min(at + 1, rows.length - 1),
      Home: 0,
      End: rows.length - 1,
    };
    if (!(event.key in steps) || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    rows[steps[event.key]]?.focus();
  }

  /**
   * Give a message its name for a screen reader when it is reached, not before: most never are.
   *
   * @param {FocusEvent} event
   */
  #speak(event) {
    for (const { element, entry } of this.#rows.values()) {
      if (element !== event.target) continue;
      const sender = entry.mine ? "Me" : entry.name;
      const state = { pending: ", sending", failed: `, ${entry.failure} ${entry.reason}`, sent: "" }[entry.state];
      const edited = entry.editedAt === null ? "" : ", edited";
      const words = entry.deleted ? tombstoneOf(entry) : entry.content.slice(0, SPOKEN_CHARACTERS);
      element.setAttribute("aria-label", `${sender}, ${timeOf(entry.at)}${edited}${state}: ${words}`);
    }
  }

  /** @param {MouseEvent} event */
  #clicked(event) {
    const row = this.#rowOf(event.target);
    if (!row) return;
    const { element, entry } = row;
    const button = /** @type {Element} */ (event.target).closest("button");
    if (!button) {
      this.#offer(element); // a tap, which points at nothing and does not everywhere bring the focus
    } else if (button.matches("[data-edit]")) {
      this.#hideTools();
      this.wishes?.edit(entry.message);
    } else if (button.matches("[data-delete]")) {
      this.confirmDeletion(entry.message);
    } else if (button.matches("[data-person]")) {
      this.#hideTools();
      this.wishes?.person({ id: entry.sender, name: entry.name });
    } else if (button.matches("[data-keep]")) {
      element.focus();
      this.#hideConfirm();
    } else {
      if (button.matches("[data-really]")) {
        this.#hideConfirm();
        this.wishes?.remove(entry.message);
      } else if (button.matches("[data-retry]")) this.wishes?.retry(entry.letter);
      else this.wishes?.discard(entry.letter);
      this.wishes?.escape();
    }
  }
}

customElements.define("message-list", MessageList);
