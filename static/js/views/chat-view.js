// The chat in the page: shows one visit, and passes on what its person asks for.

/** @import { CallInRoom } from "../call/wire.js" */
/** @import { Dialogs } from "../dialogs.js" */
/** @import { Message, Person } from "../protocol.js" */
/** @import { Page, Who } from "../visit.js" */
/** @import { Attention } from "./attention.js" */
/** @import { CallBar } from "./call-bar.js" */

import { LOBBY } from "../protocol.js";
import { unreadIn } from "../rooms.js";
import { Visit } from "../visit.js";
import { counted, hueOf, initialsOf, typingLine } from "../words.js";
import { Composer } from "./composer.js";
import { closeDrawer, serverIsBack, tell, wanted } from "./frame.js";
import { LandingCard } from "./landing.js";
import { MessageList } from "./message-list.js";
import { part } from "./part.js";
import { RoomList } from "./room-list.js";
import { PeopleList } from "./roster.js";

const ROWS_LIMIT = 2_000;
const ROWS_AFTER_TRIM = 1_500;
const TOUCH = matchMedia("(hover: none)");

const OFFLINE = "You are offline. What you write is kept and sent when the connection is back.";
const UNREACHABLE = "The server cannot be reached. What you write is kept and sent when it is back.";
const STILL_UNDER_WAY = "Your last message is still on its way. It can be edited once it is sent.";
const GONE_MEANWHILE = "The message that you were editing was deleted.";
const EDITING = "Editing your last message. Enter saves it, Escape leaves it as it is.";
const STATUS_WORDS = { connecting: "Connecting…", online: "Online", offline: "Offline" };

const chat = part(document, "[data-chat]", HTMLElement);
const landing = part(document, "landing-card", LandingCard);
const list = part(document, "message-list", MessageList);
const composer = part(document, "chat-composer", Composer);
const roomList = part(document, "room-list", RoomList);
const peopleList = part(document, "people-list", PeopleList);
const offline = part(document, "#offline", HTMLElement);
const lockButton = part(document, "[data-lock]", HTMLButtonElement);
/** Only for whoever is signed in. @type {HTMLButtonElement | null} */
const orderButton = document.querySelector("[data-order]");
/** In an empty lobby, for its owner. @type {HTMLButtonElement | null} */
const inviteButton = document.querySelector("[data-invite-people]");

/** @param {string} name */
const piece = (name) => part(document, `[data-${name}]`, HTMLElement);

/** @type {typeof import("../dialogs.js") | null} */
let dialogs = null;

/** Where they are there already, without waiting: what somebody types after Ctrl+K is meant for the finder. */
export async function loadDialogs() {
  return (dialogs ??= await import("../dialogs.js"));
}

/** What lies around every chat on this page; calls are not there on a server without. */
/** @typedef {{attention: Attention, calls: CallBar | null}} Around */

/** @implements {Page} */
export class ChatView {
  visit;
  #attention;
  #calls;
  #ended;

  /**
   * @param {Who} who
   * @param {Around} around
   * @param {(words: string) => void} ended  This person cannot be here.
   */
  constructor(who, { attention, calls }, ended) {
    this.visit = new Visit(who, this);
    this.#attention = attention;
    this.#calls = calls;
    this.#ended = ended;
    this.#wire();
  }

  /** The person looks at another page. */
  outOfSight() {
    if (list.atBottom) this.visit.lookAway();
  }

  inSight() {
    this.visit.lookBack();
    this.showRows();
    this.#markRead();
  }

  /**
   * What is done beside talking is loaded when it is first asked for.
   *
   * @param {(dialogs: Dialogs) => unknown} wish
   */
  async open(wish) {
    const visit = this.visit;
    if (!visit.inside) return;
    const loaded = await wanted(loadDialogs);
    if (!loaded || visit.over) return;
    closeDrawer();
    await wish(new loaded.Dialogs(visit));
  }

  /** The visit is over, and nothing of it is seen any more. */
  close() {
    this.visit.end();
    this.#letGo();
    delete document.documentElement.dataset.connection;
    chat.hidden = true;
    offline.hidden = true;
    tell("");
  }

  /** This person goes for good: nothing of theirs stays in the browser, which may be anybody's. */
  async forget() {
    await this.visit.forget();
    this.#letGo();
    composer.forget(this.visit.person);
  }

  #letGo() {
    list.wishes = composer.wishes = roomList.wishes = peopleList.wishes = null;
    if (!this.#calls) return;
    this.#calls.wishes = null;
    this.#calls.close();
  }

  #wire() {
    const visit = this.visit;
    const about = (/** @type {Person} */ person) => void this.open((dialogs) => dialogs.showPerson(person));
    list.wishes = {
      older: () => void visit.session.loadOlder(),
      scrolled: () => this.#markRead(),
      retry: (id) => visit.writing.retry(id),
      discard: (id) => visit.writing.discard(id),
      edit: (id) => this.#edit(id),
      remove: (id) => {
        if (composer.editing === id) composer.stopEditing();
        visit.writing.change(id, null);
      },
      person: about,
      escape: () => composer.focus(),
    };
    roomList.wishes = {
      open: (room) => visit.open(room),
      make: () => void this.open((dialogs) => dialogs.makeRoom()),
      write: () => void this.open((dialogs) => dialogs.write()),
    };
    peopleList.wishes = {
      message: ({ id }) => {
        closeDrawer();
        void visit.writeTo([id]);
      },
      about,
    };
    const calls = this.#calls;
    if (!calls) return;
    calls.wishes = {
      enter: () => void calls.enter(visit),
      rings: (words) => {
        const { name, muted } = visit.rooms.get(visit.room);
        if (!muted) this.#attention.ring(words, name);
      },
      chat: (open) => {
        chat.classList.toggle("has-chat", open);
        if (!open) return;
        list.toNewest();
        this.inSight();
      },
      say: (words) => this.#attention.say(words),
    };
  }

  // What the visit asks of its page.

  isSeen() {
    return !document.hidden;
  }

  letWrite() {
    const visit = this.visit;
    composer.wishes = {
      send: (text) => {
        list.toNewest();
        visit.writing.write(text);
      },
      typing: () => visit.session.tellTyping(),
      editLast: () => this.#editLast(),
      save: (id, text) => visit.writing.change(id, text),
      emptied: (id) => list.confirmDeletion(id),
      stopped: () => this.showRows(),
    };
  }

  /** The card makes way for the chat. */
  begin() {
    landing.hidden = true;
    chat.hidden = false;
    this.showMe();
    this.#showOtherRoom();
    focusComposer();
  }

  moved() {
    tell("");
    this.#showOtherRoom();
  }

  opened() {
    closeDrawer();
    focusComposer();
  }

  turnedOut() {
    document.querySelector(/** @type {"dialog"} */ ("room-details dialog"))?.close();
  }

  /** @param {Message} message */
  heard(message) {
    const { name, muted } = this.visit.rooms.get(message.room);
    this.#attention.message({ ...message, room: name }, muted);
  }

  /**
   * @param {string} room
   * @param {CallInRoom | null} call
   */
  heardOfCall(room, call) {
    this.#calls?.heard(room, call);
  }

  /** @param {string} words */
  tell(words) {
    tell(words);
  }

  /** @param {string} words */
  say(words) {
    this.#attention.say(words);
  }

  /** @param {string} words */
  ended(words) {
    this.#ended(words);
  }

  showStatus() {
    const { session: { status }, inside } = this.visit;
    document.documentElement.dataset.connection = status;
    if (!inside) {
      landing.say(status === "offline" ? "The server cannot be reached. Trying again…" : "");
      return;
    }
    piece("status").textContent = STATUS_WORDS[status];
    this.#showCount();
    if (status === "online") serverIsBack();
    if (status === "offline") {
      const words = navigator.onLine ? UNREACHABLE : OFFLINE;
      piece("offline-words").textContent = words;
      if (offline.hidden) this.#attention.say(words);
    }
    if (status === "connecting" && !offline.hidden) return;
    offline.hidden = status !== "offline";
  }

  showMe() {
    const { you, name } = this.visit;
    const avatar = piece("my-avatar");
    avatar.textContent = initialsOf(you?.name ?? name);
    avatar.style.setProperty("--hue", String(hueOf(you?.id ?? "")));
    piece("my-name").textContent = you?.name ?? name;
  }

  /** All that is known of the room. */
  showRoom() {
    const { room, rooms, you, closed } = this.visit;
    const { name, kind, topic, locked } = rooms.get(room);
    piece("room-name").textContent = name;
    piece("beginning-of").textContent = kind === "direct" ? `your conversation with ${name}` : name;
    if (inviteButton) inviteButton.hidden = room !== LOBBY;
    piece("topic").textContent = topic;
    piece("topic").title = topic;
    piece("locked").hidden = !locked;
    piece("closed").textContent = closed;
    composer.know(name, closed !== "");
    part(document, "[role=log]", HTMLElement).setAttribute("aria-label", `Messages in ${name}`);
    this.#attention.at(name);
    this.#attention.read(rooms.readUpTo(room));
    this.#calls?.at(room, you?.id ?? "");
    this.showPowers();
    this.showRooms();
  }

  /** What this person may do that others may not. */
  showPowers() {
    const { room, rooms, isHead } = this.visit;
    const { locked } = rooms.get(room);
    const words = locked ? "Unlock the room" : "Lock the room";
    lockButton.hidden = !this.visit.may("lock");
    lockButton.setAttribute("aria-label", words);
    lockButton.title = words;
    lockButton.toggleAttribute("data-shut", locked);
    if (orderButton) orderButton.hidden = !isHead;
    this.showPeople();
    this.showRows();
  }

  showRows() {
    const visit = this.visit;
    if (!visit.inside) return;
    const { timeline, room, you } = visit.session;
    // Whoever reads at the bottom needs no thousands of rows above; they come back as history.
    if (timeline.rows.length > ROWS_LIMIT && list.atBottom) timeline.trim(ROWS_AFTER_TRIM);
    if (timeline.rows.some(({ id, deleted }) => deleted && id === composer.editing)) {
      composer.stopEditing();
      this.#tellAndSay(GONE_MEANWHILE);
    }
    list.show({
      room,
      messages: timeline.rows,
      letters: visit.writing.letters,
      you,
      keepsOrder: visit.may("delete"),
      closed: visit.closed !== "",
      loaded: timeline.cursor !== null,
      hasOlder: timeline.hasOlder,
      editing: composer.editing,
      missed: visit.reading.missed,
    });
  }

  showRooms() {
    const { room: current, rooms: known } = this.visit;
    const rooms = known.all.map((room) => ({ ...room, unread: unreadIn(room) }));
    if (!rooms.some(({ room }) => room === current)) rooms.push({ ...known.get(current), unread: 0 });
    // A direct message that nobody has written yet is nobody's news.
    roomList.show(rooms.filter(({ kind, last, room }) => kind !== "direct" || last > 0 || room === current), current);
    const elsewhere = rooms.some(({ room, unread, muted }) => room !== current && unread > 0 && !muted);
    piece("menu").classList.toggle("has-unread", elsewhere);
    if (this.#calls) this.#calls.unread = rooms.find(({ room }) => room === this.#calls?.inside)?.unread ?? 0;
  }

  showPeople() {
    const { roster, you } = this.visit.session;
    const may = { write: this.visit.identity.mayWrite, keepOrder: this.visit.may("kick") };
    peopleList.show(roster.people, roster.count, you, may);
    this.#showCount();
  }

  showTyping() {
    piece("typing").textContent = typingLine(this.visit.session.typists);
  }

  #showOtherRoom() {
    const { person, room, rooms } = this.visit;
    composer.open(person, room, rooms.nameOf(room));
    this.showRoom();
    this.showTyping();
  }

  /** How many are here; without the server nobody knows. */
  #showCount() {
    const { roster, status } = this.visit.session;
    const known = roster.count > 0 && status !== "offline";
    piece("people-count").textContent = known ? counted(roster.count, "person here", "people here") : "";
  }

  /** @param {string} id */
  #edit(id) {
    const text = this.visit.writing.textOf(id);
    if (text === null) return;
    composer.edit(id, text);
    this.showRows();
  }

  /** What was written last; whether there is anything to edit. */
  #editLast() {
    if (this.visit.writing.isUnderWay) {
      this.#tellAndSay(STILL_UNDER_WAY);
      return true;
    }
    const last = this.visit.writing.lastSaid;
    if (last === null) return false;
    this.#edit(last);
    this.#attention.say(EDITING);
    return true;
  }

  #markRead() {
    if (list.atBottom) this.visit.read();
  }

  /** @param {string} words */
  #tellAndSay(words) {
    tell(words);
    this.#attention.say(words);
  }
}

/** On a screen without a keyboard of its own, the focus would bring one up over the messages. */
function focusComposer() {
  if (!TOUCH.matches) composer.focus();
}
