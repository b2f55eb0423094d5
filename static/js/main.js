// Wires the page: one session, one outbox, and the views that show them.

/** @import { Affairs } from "./affairs.js" */
/** @import { Letter } from "./outbox-store.js" */
/** @import { JoinAnswer, Message, Person, Refusal } from "./protocol.js" */
/** @import { CallInRoom } from "./call/wire.js" */
/** @import { News } from "./session.js" */
/** @import { CallView } from "./views/call-view.js" */

import { Connection } from "./connection.js";
import { Identity } from "./identity.js";
import { Journal } from "./journal.js";
import { Marks } from "./marks.js";
import { openStore } from "./outbox-store.js";
import { Outbox, personOf, uuid } from "./outbox.js";
import { LOBBY, roomIdOf } from "./protocol.js";
import { Rooms, unreadIn } from "./rooms.js";
import { Session } from "./session.js";
import { ofThisBrowser } from "./storage.js";
import { Attention } from "./views/attention.js";
import { CallBar } from "./views/call-bar.js";
import { Composer } from "./views/composer.js";
import { LandingCard } from "./views/landing.js";
import { MessageList } from "./views/message-list.js";
import { part } from "./views/part.js";
import { RoomList, pathOf } from "./views/room-list.js";
import { PeopleList } from "./views/roster.js";
import { counted, hueOf, initialsOf, typingLine } from "./words.js";

/** The server tells of no more rooms than that at once. */
const MY_ROOMS_TOLD = 200;
const ROWS_LIMIT = 2_000;
const ROWS_AFTER_TRIM = 1_500;
const NARROW = matchMedia("(max-width: 51.99rem)");
const TOUCH = matchMedia("(hover: none)");

const OFFLINE = "You are offline. What you write is kept and sent when the connection is back.";
const UNREACHABLE = "The server cannot be reached. What you write is kept and sent when it is back.";
const NEEDS_SERVER = "This needs the server, which cannot be reached now. What you write is kept all the same.";
const NOT_LOADED = "This could not be loaded. Try again; if that does not help, load this page again.";
const STARTED_OVER = "The conversation was loaded anew: its numbering changed, or you were away for very long.";
const STILL_UNDER_WAY = "Your last message is still on its way. It can be edited once it is sent.";
const GONE_MEANWHILE = "The message that you were editing was deleted.";
const EDITING = "Editing your last message. Enter saves it, Escape leaves it as it is.";
const HEADS = new Set(["owner", "admin"]);
/** Refusals that say of a room that it is not this person's. */
const NOT_MINE = new Set(["forbidden", "not-found"]);
const COME_BACK = "Reload the page to come in again.";
const STATUS_WORDS = { connecting: "Connecting…", online: "Online", offline: "Offline" };
const NOT_DURABLE = "This browser keeps nothing for later: what is not sent yet is lost when you close this tab.";

const landing = part(document, "landing-card", LandingCard);
const chat = part(document, "[data-chat]", HTMLElement);
const list = part(document, "message-list", MessageList);
const composer = part(document, "chat-composer", Composer);
const roomList = part(document, "room-list", RoomList);
const peopleList = part(document, "people-list", PeopleList);
const sidebar = part(document, "#sidebar", HTMLElement);
const offline = part(document, "#offline", HTMLElement);
const notice = part(document, "[data-notice]", HTMLElement);
/** Not there on a server without calls. */
const callBar = document.querySelector("[data-call]")
  ? new CallBar(part(document, "[data-call]", HTMLButtonElement), part(document, "[data-call-bar]", HTMLElement), ofThisBrowser)
  : null;
/** Loaded with the first look into a call. @type {CallView | null} */
let callView = null;
const lockButton = part(document, "[data-lock]", HTMLButtonElement);
/** Only for whoever is signed in. @type {HTMLButtonElement | null} */
const orderButton = document.querySelector("[data-order]");
/** In an empty lobby, for its owner. @type {HTMLButtonElement | null} */
const inviteButton = document.querySelector("[data-invite-people]");
const attention = new Attention(part(document, "[data-announcer]", HTMLElement), part(document, "[data-notify]", HTMLButtonElement));

/** One person on this page, from the card to the farewell. */
class Visit {
  #identity;
  #name;
  #person;
  #rooms;
  #session;
  /** @type {Connection | null} */
  #connection = null;
  #marks;
  /** @type {Outbox | null} */
  #outbox = null;
  #channel = new BroadcastChannel("chatzilla.outbox");
  /** What came while the person was in another room, or looked at another page; until they are back, everything. */
  #missed = { after: 0, upTo: Infinity };
  #inside = false;
  #over = false;
  /** @type {Map<string, readonly string[]>} What this person may in rooms, as far as it was told. */
  #rights = new Map();
  /** Why this person is not in the room that is open, where that is so and there is no other to go to. */
  #out = "";

  /**
   * @param {Identity} identity
   * @param {string} name
   * @param {string | undefined} token
   */
  constructor(identity, name, token) {
    this.#identity = identity;
    this.#name = name;
    this.#person = personOf(name);
    this.#rooms = new Rooms(ofThisBrowser, this.#person);
    this.#session = new Session({ name, token, room: roomInAddress() }, {
      connect: (ear) => (this.#connection = new Connection(ear)),
      listener: {
        status: () => this.#showStatus(),
        joined: (answer, { reset }) => this.#joined(answer, reset),
        rows: () => this.#showRows(),
        heard: (message) => this.#heard(message),
        people: () => this.#showPeople(),
        typing: () => this.#showTyping(),
        room: (room) => this.#roomMoved(room),
        gone: (room, words) => this.#roomGone(room, words),
        mine: (rooms) => {
          if (rooms.size < MY_ROOMS_TOLD) this.#rooms.keepOnly(rooms.add(this.#session.room));
        },
        you: () => this.#showPowers(),
        refused: (refusal) => this.#refused(refusal),
        ended: ({ message }) => leave(this.#name, message),
      },
      later: setTimeout.bind(window),
      now: Date.now,
      random: Math.random,
    });
    this.#marks = new Marks({
      tell: (room, seq) => this.#session.tellRead(room, seq),
      later: setTimeout.bind(window),
    });
    list.wishes = {
      older: () => void this.#session.loadOlder(),
      scrolled: () => this.#markRead(),
      retry: (id) => void this.#outbox?.retry(id),
      discard: (id) => void this.#outbox?.discard(id),
      edit: (id) => this.#edit(id),
      remove: (id) => this.#remove(id),
      person: (person) => void this.#showPerson(person),
      escape: () => composer.focus(),
    };
    roomList.wishes = {
      open: (room) => this.open(room),
      make: () => void this.#affairs((affairs) => affairs.makeRoom()),
      write: () => void this.#affairs((affairs) => affairs.write()),
    };
    peopleList.wishes = {
      message: ({ id }) => void this.#affairs((affairs) => affairs.writeTo([id])),
      about: (person) => void this.#showPerson(person),
    };
    if (callBar) {
      callBar.wishes = {
        enter: () => void this.#enterCall(),
        rings: (words) => {
          const { name, muted } = this.#rooms.get(this.#session.room);
          if (!muted) attention.ring(words, name);
        },
      };
    }
  }

  async begin() {
    const store = await openStore(globalThis.indexedDB);
    if (this.#over) return;
    this.#outbox = new Outbox({
      person: this.#person,
      owner: uuid(),
      journal: new Journal(ofThisBrowser),
      store,
      send: (letter) => this.#session.post(letter),
      enter: (room) => this.#session.enterToPost(room),
      tell: (news) => {
        if (!this.#over) this.#channel.postMessage(news);
      },
      changed: () => this.#showRows(),
      settled: (letter, answer) => this.#session.settled(letter, answer),
      now: Date.now,
      later: setTimeout.bind(window),
      random: Math.random,
    });
    this.#channel.onmessage = ({ data }) => this.#outbox?.told(data);
    composer.wishes = {
      send: (text) => this.#send(text),
      typing: () => this.#session.tellTyping(),
      editLast: () => this.#editLast(),
      save: (id, text) => void this.#outbox?.change(this.#session.room, id, text),
      emptied: (id) => list.confirmDeletion(id),
      stopped: () => this.#showRows(),
    };
    this.#showStatus();
    this.#session.open();
    await this.#outbox.open();
    if (!store.durable) tell(NOT_DURABLE);
  }

  /** Show the chat before the server has answered: after a reload, what was written is there at once. */
  show() {
    if (this.#inside) return;
    this.#inside = true;
    landing.hidden = true;
    chat.hidden = false;
    this.#showMe();
    this.#showRoom();
    focusComposer();
  }

  /** @param {string} room */
  nameOf(room) {
    return this.#rooms.nameOf(room);
  }

  /** Everything about the room that is open. */
  showDetails() {
    void this.#affairs((affairs) => affairs.showDetails());
  }

  /** Go somewhere by typing a part of its name. */
  find() {
    void this.#affairs((affairs) => affairs.find());
  }

  /**
   * What concerns rooms and people is loaded when it is first asked for.
   *
   * @param {(affairs: Affairs) => unknown} wish
   */
  async #affairs(wish) {
    if (!this.#inside) return;
    // Without waiting where it is there: what somebody types after Ctrl+K is meant for the finder.
    const loaded = affairs ?? (await wanted(loadAffairs));
    if (!loaded || this.#over) return;
    if (NARROW.matches) sidebar.hidePopover();
    await wish(
      new loaded.Affairs({
        ask: (event, question) => this.#session.ask(event, question),
        rooms: this.#rooms,
        room: () => this.#session.room,
        you: () => this.#session.you,
        may: () => this.#rights.get(this.#session.room) ?? [],
        open: (room) => this.open(room),
        enter: (room) => {
          this.#roomMoved(room);
          this.open(room.room);
        },
        shown: () => this.#showRoomName(),
        tell,
      }),
    );
  }

  /** Everybody's roles, the bans, and what was done. */
  async keepOrder() {
    const loaded = await wanted(() => import("./views/keeping-order.js"));
    /** @type {HTMLDialogElement | null} */ (orderButton?.closest("dialog") ?? null)?.close();
    if (!loaded) return;
    if (NARROW.matches) sidebar.hidePopover();
    const dialog = part(document, "keeping-order", loaded.KeepingOrder);
    dialog.me = this.#session.you?.id ?? "";
    dialog.signedOut = () => location.reload();
    dialog.chosen = (person) => void this.#showPerson(person);
    await dialog.open();
  }

  /**
   * What may be done to somebody.
   *
   * @param {Person} person
   */
  async #showPerson({ id, name, verified }) {
    const loaded = await wanted(() => import("./views/person-card.js"));
    if (!loaded) return;
    if (NARROW.matches) sidebar.hidePopover();
    const { room, roster } = this.#session;
    const here = roster.people.find((each) => each.id === id);
    const card = part(document, "person-card", loaded.PersonCard);
    card.signedOut = () => location.reload();
    await card.open({ id, name, verified: verified ?? (here && here.verified === true) }, this.#may("kick") ? { id: room, name: this.#rooms.nameOf(room) } : null);
  }

  /** Let nobody but its moderators speak in the room that is open, or everybody again. */
  async toggleLock() {
    const { room } = this.#session;
    const { locked, name } = this.#rooms.get(room);
    if (!locked && !confirm(`Lock “${name}”? Everybody goes on reading. Only its moderators write, until it is unlocked.`)) return;
    const loaded = await wanted(loadApi);
    if (!loaded) return;
    const result = await loaded.api.lock(room, !locked);
    if (!result.ok) tell(result.refusal.message);
  }

  /**
   * Whether this person may do something in the room that is open, as far as it was told.
   *
   * @param {string} act
   */
  #may(act) {
    return this.#rights.get(this.#session.room)?.includes(act) ?? false;
  }

  /**
   * Go to a room, and let the address say so.
   *
   * @param {string} room
   */
  open(room) {
    if (NARROW.matches) sidebar.hidePopover();
    if (room !== roomInAddress()) history.pushState(null, "", pathOf(room));
    this.followAddress();
    focusComposer();
  }

  followAddress() {
    const room = roomInAddress();
    const left = this.#session.room;
    if (room === left) return;
    const { cursor, rows } = this.#session.timeline;
    if (cursor !== null) this.#rooms.heard({ room: left, last: rows.at(-1)?.seq ?? 0 });
    this.#session.enter(room);
    this.#out = "";
    tell("");
    this.#showRoom();
  }

  networkLost() {
    this.#session.networkLost();
  }

  outOfSight() {
    if (list.atBottom) this.#missed = { after: this.#session.timeline.cursor ?? 0, upTo: Infinity };
  }

  inSight() {
    this.#isBack();
    this.#showRows();
    this.#markRead();
  }

  /** Another tab may send from now on. */
  pause() {
    this.#outbox?.setReady(false);
  }

  /** The page came back from the browser's cache. */
  resume() {
    this.#showStatus();
  }

  /** How many messages wait here, or could not be sent. */
  get unsent() {
    return this.#outbox?.letters.length ?? 0;
  }

  /** Go for good, and leave nothing of this person's in the browser: it may be anybody's. */
  async forget() {
    await this.#outbox?.discardAll();
    this.end();
    this.#rooms.forgetAll();
    composer.forget(this.#person);
  }

  end() {
    this.#over = true;
    this.#outbox?.close();
    this.#session.close();
    this.#channel.close();
    list.wishes = composer.wishes = roomList.wishes = peopleList.wishes = null;
    if (callBar) callBar.wishes = null;
    callView?.close();
  }

  /**
   * @param {JoinAnswer} answer
   * @param {boolean} reset
   */
  #joined({ you, room, messages, epoch }, reset) {
    this.#identity.keep(this.#name, this.#session.token);
    this.#rooms.me = you.id;
    if (this.#rooms.numberedBy(epoch)) {
      this.#marks.forget();
      this.#missed.after = this.#rooms.readUpTo(room.room);
    }
    if (reset) {
      this.#rooms.startedOver(room);
      this.#missed = { after: room.head, upTo: room.head };
      tell(STARTED_OVER);
    }
    this.#roomMoved(room);
    // Where reading ended may have been on another device.
    if (this.#missed.upTo === Infinity) {
      this.#missed.after = Math.max(this.#missed.after, this.#rooms.readUpTo(room.room));
    }
    this.show();
    this.#isBack();
    this.#out = "";
    for (const message of messages) this.#ownIsKnown(message);
    this.#showMe();
    this.#showRoomName();
    this.#showRows();
    this.#showPeople();
    this.#showStatus();
  }

  async #enterCall() {
    const { room } = this.#session;
    const view = await wanted(loadCallView);
    const manager = this.#connection?.manager;
    if (!view || this.#over || !manager) return;
    await view.open({
      room,
      name: this.#rooms.nameOf(room),
      manager,
      token: () => this.#session.token,
      call: callBar?.callIn(room) ?? null,
    });
  }

  /** @param {News} news */
  #roomMoved(news) {
    // With its head it is what the server says of the room, and that includes whether there is a call.
    if (news.head !== undefined) {
      callBar?.heard(news.room, news.call ?? null);
      callView?.heard(news.room, news.call ?? null);
    }
    if (news.may) this.#rights.set(news.room, news.may);
    const before = this.#rooms.readUpTo(news.room);
    const read = this.#rooms.heard(news);
    // What the server does not know yet: it got lost, or an own message moved it.
    if (read > (news.read ?? (news.own ? before : read))) this.#marks.read(news.room, read);
    if (news.room === this.#session.room) {
      attention.read(read);
      this.#showRoomName();
    } else {
      this.#showRooms();
    }
  }

  /**
   * A room is not this person's any more.
   *
   * @param {string} room
   * @param {string} [why]
   */
  #roomGone(room, why) {
    const name = this.#rooms.nameOf(room);
    // The server may say “this room”, and it is another one that is open when one reads it.
    const told = room === LOBBY || why?.includes(name) ? why : why && `${name}: ${why}`;
    const words = told || `You are not in “${name}” any more.`;
    if (room !== LOBBY) this.#rooms.forget(room);
    this.#rights.delete(room);
    if (room === this.#session.room) {
      document.querySelector(/** @type {"dialog"} */ ("room-details dialog"))?.close();
      this.#out = room === LOBBY ? `${words} ${COME_BACK}` : "";
      this.open(LOBBY);
      this.#showRoomName();
      tell(words);
      attention.say(words);
    }
    this.#showRooms();
  }

  /** What comes from now on comes before the person's eyes. */
  #isBack() {
    const { timeline } = this.#session;
    if (document.hidden || timeline.incomplete || this.#missed.upTo !== Infinity) return;
    this.#missed.upTo = timeline.cursor ?? 0;
  }

  /** @param {Message} message */
  #heard(message) {
    this.#ownIsKnown(message);
    if (message.sender === this.#session.you?.id || message.changed > message.seq) return;
    const { name, muted } = this.#rooms.get(message.room);
    attention.message({ ...message, room: name }, muted);
  }

  /** @param {Message} message */
  #ownIsKnown({ sender, client_id }) {
    if (sender === this.#session.you?.id) void this.#outbox?.heard(client_id);
  }

  /** @param {Refusal} refusal */
  #refused({ code, message }) {
    if (identity.signedIn && code === "forbidden") void reloadIfSomebodyElse(this.#name);
    const { room } = this.#session;
    if (!this.#inside) leave(this.#name, message);
    else if (room !== LOBBY && NOT_MINE.has(code)) this.#roomGone(room, message);
    else {
      // There is nowhere else to go; what others can be opened stays in the sidebar.
      this.#out = message;
      this.#showRoomName();
      attention.say(message);
    }
  }

  /** @param {string} text */
  #send(text) {
    list.toNewest();
    void this.#outbox?.write(this.#session.room, text);
  }

  /** @param {string} id */
  #edit(id) {
    const message = this.#session.timeline.rows.find((row) => row.id === id);
    if (!message || message.deleted) return;
    const change = this.#lettersHere().findLast(({ target, deletes }) => target === id && !deletes);
    composer.edit(id, change?.content ?? message.content);
    this.#showRows();
  }

  /** What was written last; whether there is anything to edit. */
  #editLast() {
    const letters = this.#lettersHere();
    if (letters.some(({ target }) => target === undefined)) {
      tell(STILL_UNDER_WAY);
      attention.say(STILL_UNDER_WAY);
      return true;
    }
    const { timeline, you } = this.#session;
    const goes = new Set(letters.filter(({ deletes }) => deletes).map(({ target }) => target));
    const last = timeline.rows.findLast(
      ({ id, sender, kind, deleted }) => sender === you?.id && kind === "text" && !deleted && !goes.has(id),
    );
    if (!last) return false;
    this.#edit(last.id);
    attention.say(EDITING);
    return true;
  }

  /** @param {string} id */
  #remove(id) {
    if (composer.editing === id) composer.stopEditing();
    void this.#outbox?.change(this.#session.room, id, null);
  }

  #markRead() {
    const { timeline, room } = this.#session;
    if (document.hidden || !list.atBottom || timeline.cursor === null) return;
    this.#marks.read(room, timeline.cursor);
    if (this.#rooms.read(room, timeline.cursor)) this.#showRooms();
  }

  #showStatus() {
    const { status } = this.#session;
    document.documentElement.dataset.connection = status;
    this.#outbox?.setReady(status === "online");
    this.#marks.setReady(status === "online");
    if (!this.#inside) {
      landing.say(status === "offline" ? "The server cannot be reached. Trying again…" : "");
      return;
    }
    part(document, "[data-status]", HTMLElement).textContent = STATUS_WORDS[status];
    this.#showCount();
    if (status === "online") tellNoMore(NEEDS_SERVER);
    if (status === "offline") {
      const words = navigator.onLine ? UNREACHABLE : OFFLINE;
      part(document, "[data-offline-words]", HTMLElement).textContent = words;
      if (offline.hidden) attention.say(words);
    }
    if (status === "connecting" && !offline.hidden) return;
    offline.hidden = status !== "offline";
  }

  #showRoom() {
    const { room } = this.#session;
    this.#missed = { after: this.#rooms.readUpTo(room), upTo: Infinity };
    composer.open(this.#person, room, this.#rooms.nameOf(room));
    this.#showRoomName();
    this.#showRows();
    this.#showPeople();
    this.#showTyping();
  }

  #showRoomName() {
    const { room } = this.#session;
    const known = this.#rooms.get(room);
    const { name, topic } = known;
    part(document, "[data-room-name]", HTMLElement).textContent = name;
    const beginning = known.kind === "direct" ? `your conversation with ${name}` : name;
    part(document, "[data-beginning-of]", HTMLElement).textContent = beginning;
    if (inviteButton) inviteButton.hidden = room !== LOBBY;
    part(document, "[data-topic]", HTMLElement).textContent = topic;
    part(document, "[data-topic]", HTMLElement).title = topic;
    part(document, "[data-locked]", HTMLElement).hidden = !known.locked;
    this.#showPowers();
    part(document, "[data-closed]", HTMLElement).textContent = this.#closed;
    composer.know(name, this.#closed !== "");
    part(document, "[role=log]", HTMLElement).setAttribute("aria-label", `Messages in ${name}`);
    attention.at(name);
    callBar?.at(this.#session.room, this.#session.you?.id ?? "");
    this.#showRooms();
  }

  /** Why nothing can be said here now, in words; empty where something can. */
  get #closed() {
    const { room } = this.#session;
    return this.#out || whyClosed(this.#rooms.get(room), this.#rights.get(room));
  }

  /** What this person may do that others may not. */
  #showPowers() {
    const { you, room } = this.#session;
    const { locked } = this.#rooms.get(room);
    const words = locked ? "Unlock the room" : "Lock the room";
    lockButton.hidden = !this.#may("lock");
    lockButton.setAttribute("aria-label", words);
    lockButton.title = words;
    lockButton.toggleAttribute("data-shut", locked);
    if (orderButton) orderButton.hidden = !HEADS.has(you?.role ?? this.#identity.role);
    this.#showPeople();
    this.#showRows();
  }

  #showRows() {
    if (!this.#inside) return;
    const { timeline, room, you } = this.#session;
    // Whoever reads at the bottom needs no thousands of rows above; they come back as history.
    if (timeline.rows.length > ROWS_LIMIT && list.atBottom) timeline.trim(ROWS_AFTER_TRIM);
    if (timeline.rows.some(({ id, deleted }) => deleted && id === composer.editing)) {
      composer.stopEditing();
      tell(GONE_MEANWHILE);
      attention.say(GONE_MEANWHILE);
    }
    list.show({
      room,
      messages: timeline.rows,
      letters: this.#lettersHere(),
      you,
      keepsOrder: this.#may("delete"),
      closed: this.#closed !== "",
      loaded: timeline.cursor !== null,
      hasOlder: timeline.hasOlder,
      editing: composer.editing,
      missed: this.#missed,
    });
  }

  #lettersHere() {
    /** @type {readonly Letter[]} */
    const letters = this.#outbox?.letters ?? [];
    return letters.filter(({ room }) => room === this.#session.room);
  }

  #showRooms() {
    const rooms = this.#rooms.all.map((room) => ({ ...room, unread: unreadIn(room) }));
    const current = this.#session.room;
    if (!rooms.some(({ room }) => room === current)) rooms.push({ ...this.#rooms.get(current), unread: 0 });
    // A direct message that nobody has written yet is nobody's news.
    roomList.show(rooms.filter(({ kind, last, room }) => kind !== "direct" || last > 0 || room === current), current);
    const elsewhere = rooms.some(({ room, unread, muted }) => room !== current && unread > 0 && !muted);
    part(document, "[data-menu]", HTMLElement).classList.toggle("has-unread", elsewhere);
    if (callView) callView.unread = rooms.find(({ room }) => room === callView?.room)?.unread ?? 0;
  }

  #showPeople() {
    const { roster, you } = this.#session;
    peopleList.show(roster.people, roster.count, you, { write: this.#identity.mayWrite, keepOrder: this.#may("kick") });
    this.#showCount();
  }

  /** How many are here; without the server nobody knows. */
  #showCount() {
    const { roster, status } = this.#session;
    const known = roster.count > 0 && status !== "offline";
    part(document, "[data-people-count]", HTMLElement).textContent = known ? counted(roster.count, "person here", "people here") : "";
  }

  #showTyping() {
    part(document, "[data-typing]", HTMLElement).textContent = typingLine(this.#session.typists);
  }

  #showMe() {
    const name = this.#session.you?.name ?? this.#name;
    const avatar = part(document, "[data-my-avatar]", HTMLElement);
    avatar.textContent = initialsOf(name);
    avatar.style.setProperty("--hue", String(hueOf(this.#session.you?.id ?? "")));
    part(document, "[data-my-name]", HTMLElement).textContent = name;
  }
}

/**
 * Why nothing can be said in a room now, in words.
 *
 * @param {{archived: boolean, locked: boolean}} room
 * @param {readonly string[]} [may]
 */
function whyClosed({ archived, locked }, may) {
  if (archived) return "This room is archived. It can be read, and nothing is said here any more.";
  if (may && !may.includes("post")) return "You may read here, and not write.";
  if (locked && !may?.includes("lock")) return "This room is locked. Only its moderators speak here now.";
  return "";
}

const identity = new Identity();
/** @type {Visit | null} */
let visit = null;
/** @type {typeof import("./affairs.js") | null} */
let affairs = null;

async function loadAffairs() {
  affairs = await import("./affairs.js");
  return affairs;
}

const loadApi = () => import("./api.js");

/**
 * Load what somebody wants just now. Where it cannot be had, they are told why nothing happens.
 *
 * @template Loaded
 * @param {() => Promise<Loaded>} load
 * @returns {Promise<Loaded | null>}
 */
async function wanted(load) {
  try {
    const loaded = await load();
    tellNoMore(NOT_LOADED);
    return loaded;
  } catch (error) {
    const online = document.documentElement.dataset.connection === "online";
    if (online) console.error(error);
    if (NARROW.matches) sidebar.hidePopover();
    tell(online ? NOT_LOADED : NEEDS_SERVER);
    return null;
  }
}

/**
 * @param {string} name
 * @param {string} [token]
 */
function come(name, token) {
  visit?.end();
  visit = new Visit(identity, name, token);
  void visit.begin();
  return visit;
}

/**
 * Back to the card.
 *
 * @param {string} name   To begin with.
 * @param {string} words  Why.
 */
function leave(name, words) {
  // Without the sign-in there is another page: it says what happened, and how to come back.
  if (identity.signedIn) return void signingOut.then((done) => done || location.reload());
  visit?.end();
  visit = null;
  identity.forget();
  delete document.documentElement.dataset.connection;
  chat.hidden = true;
  offline.hidden = true;
  tell("");
  return landing.ask(name, words);
}

/**
 * Another tab may have signed this browser in as somebody else meanwhile.
 *
 * @param {string} name
 */
async function reloadIfSomebodyElse(name) {
  // Where it cannot be had, what the person does next is refused once more, and asked about again.
  const loaded = await loadApi().catch(() => null);
  const result = await loaded?.api.me();
  if (result?.ok && result.answer.you.name !== name) location.reload();
}

/** Whether a sign-out that is under way comes to its end, which is another page. */
let signingOut = Promise.resolve(false);

async function signOut() {
  const lost = unsent("not sent yet, and will be lost.");
  if (!confirm(`Sign out of this browser? You need a link to come back. ${lost}`.trim())) return;
  const loaded = await wanted(loadApi);
  if (loaded) signingOut = goOut(loaded.api);
}

/** @param {typeof import("./api.js").api} api */
async function goOut(api) {
  const result = await api.signOut();
  if (!result.ok && result.refusal.code !== "sign-in") {
    tell(result.refusal.message);
    return false;
  }
  await visit?.forget();
  location.assign("/");
  return true;
}

/** Back to the card, where the next one types a name; what is not sent waits for this one. */
function goAway() {
  const waiting = unsent(`not sent yet: what waits here is sent when you come back as “${identity.name}”.`);
  if (waiting && !confirm(`${waiting} Leave now?`)) return;
  leave(identity.lastName, "");
}

/**
 * What is to be known of unsent messages before one goes; empty where there are none.
 *
 * @param {string} words
 */
function unsent(words) {
  const { unsent: count = 0 } = visit ?? {};
  return count > 0 ? `${counted(count, "message is", "messages are")} ${words}` : "";
}

async function openPeopleAndLinks() {
  const loaded = await wanted(() => import("./views/people-and-links.js"));
  if (!loaded) return;
  if (NARROW.matches) sidebar.hidePopover();
  const dialog = part(document, "people-and-links", loaded.PeopleAndLinks);
  dialog.signedOut = () => location.reload();
  dialog.nameOf = (room) => visit?.nameOf(room) ?? room;
  await dialog.open(roomInAddress());
}

/** The call's view, which is loaded when it is first wanted, and the chat that makes room for it. */
async function loadCallView() {
  const { CallView } = await import("./views/call-view.js");
  callView = part(document, "call-view", CallView);
  callView.wishes = {
    inside: (room) => {
      chat.classList.toggle("has-call", room !== null);
      callBar?.inside(room);
      arrangeSidebar();
    },
    chat: (open) => {
      chat.classList.toggle("has-chat", open);
      if (!open) return;
      list.toNewest();
      visit?.inSight();
    },
    say: (words) => attention.say(words),
  };
  return callView;
}

/**
 * Show a line above the messages until it is dismissed.
 *
 * @param {string} words
 */
function tell(words) {
  part(document, "[data-notice-words]", HTMLElement).textContent = words;
  notice.hidden = words === "";
}

/**
 * Take a line away that does not hold any more, if it is the one that is shown.
 *
 * @param {string} words
 */
function tellNoMore(words) {
  if (part(document, "[data-notice-words]", HTMLElement).textContent === words) tell("");
}

/** On a screen without a keyboard of its own, the focus would bring one up over the messages. */
function focusComposer() {
  if (!TOUCH.matches) composer.focus();
}

function roomInAddress() {
  const [, name] = location.pathname.match(/^\/r\/([^/]+)\/?$/) ?? [];
  return roomIdOf(name ?? "") ?? LOBBY;
}

/** On a phone, and beside a call, the sidebar is a drawer, which the browser closes by Escape or a touch outside. */
function arrangeSidebar() {
  if (NARROW.matches || chat.classList.contains("has-call")) sidebar.setAttribute("popover", "auto");
  else sidebar.removeAttribute("popover");
}

arrangeSidebar();
NARROW.addEventListener("change", arrangeSidebar);
landing.wishes = { join: (name) => void come(name) };
part(document, "[data-leave]", HTMLElement).addEventListener("click", () => {
  if (identity.signedIn) void signOut();
  else goAway();
});
document.querySelector("[data-people-and-links]")?.addEventListener("click", () => void openPeopleAndLinks());
inviteButton?.addEventListener("click", () => void openPeopleAndLinks());
orderButton?.addEventListener("click", () => void visit?.keepOrder());
lockButton.addEventListener("click", () => void visit?.toggleLock());
part(document, "[data-details]", HTMLElement).addEventListener("click", () => visit?.showDetails());
part(document, "[data-find]", HTMLElement).addEventListener("click", () => visit?.find());
addEventListener("keydown", (event) => {
  // In advance; whoever then wants it is told if it is not there.
  if (event.key === "Control" || event.key === "Meta") void loadAffairs().catch(() => null);
  if (event.key.toLowerCase() !== "k" || !(event.ctrlKey || event.metaKey) || event.shiftKey || event.altKey) return;
  event.preventDefault();
  visit?.find();
});
part(document, "[data-dismiss]", HTMLElement).addEventListener("click", () => tell(""));
addEventListener("popstate", () => visit?.followAddress());
addEventListener("offline", () => visit?.networkLost());
addEventListener("pagehide", () => visit?.pause());
addEventListener("pageshow", () => visit?.resume());
document.addEventListener("visibilitychange", () => (document.hidden ? visit?.outOfSight() : visit?.inSight()));

if (identity.name) come(identity.name, identity.token).show();
else landing.ask(identity.lastName, "");
