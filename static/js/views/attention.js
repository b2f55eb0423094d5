// What reaches a person who is not looking: the title of the tab, desktop notices, and words for a screen reader.

const NOTICE_CHARACTERS = 160;
const SPOKEN_FOR_MS = 10_000;
/** More than this at once nobody can follow by ear. */
const SPOKEN_LINES = 5;

export class Attention {
  #announcer;
  #button;
  #place = "Chatzilla";
  /** @type {number[]} The places of messages that came unseen. */
  #missed = [];
  /** @type {Notification | null} */
  #notice = null;

  /**
   * @param {HTMLElement} announcer     A polite live region that nobody sees.
   * @param {HTMLButtonElement} button  Asks for desktop notices.
   */
  constructor(announcer, button) {
    this.#announcer = announcer;
    this.#button = button;
    button.addEventListener("click", () => this.#askForNotices());
    document.addEventListener("visibilitychange", () => this.#looked());
    this.#offerNotices();
  }

  /**
   * Name the tab after the room.
   *
   * @param {string} room
   */
  at(room) {
    this.#place = `${room} · Chatzilla`;
    this.#title();
  }

  /**
   * Tell of a message by somebody else.
   *
   * @param {{name: string, content: string, room: string, seq: number, kind: string}} message
   * @param {boolean} muted  Whether it is not worth a notice.
   */
  message({ name, content, room, seq, kind }, muted) {
    this.say(kind === "notice" ? content : `${name}: ${content}`);
    if (!document.hidden || muted) return;
    this.#missed.push(seq);
    this.#title();
    if (!noticesGranted()) return;
    try {
      const body = content.slice(0, NOTICE_CHARACTERS);
      const notice = new Notification(kind === "notice" ? room : `${name} in ${room}`, { body, tag: `chatzilla-${room}` });
      this.#notice = notice;
      notice.onclick = () => {
        window.focus();
        notice.close();
      };
    } catch {
      // Some phones grant notices to service workers only; the title still counts.
    }
  }

  /**
   * The person has read so far, perhaps elsewhere.
   *
   * @param {number} upTo
   */
  read(upTo) {
    if (this.#missed.length === 0) return;
    this.#missed = this.#missed.filter((seq) => seq > upTo);
    if (this.#missed.length === 0) this.#notice?.close();
    this.#title();
  }

  /**
   * Say something aloud to those who listen.
   *
   * @param {string} words
   */
  say(words) {
    const line = document.createElement("p");
    line.textContent = words;
    this.#announcer.append(line);
    if (this.#announcer.childElementCount > SPOKEN_LINES) this.#announcer.firstElementChild?.remove();
    setTimeout(() => line.remove(), SPOKEN_FOR_MS);
  }

  #looked() {
    if (document.hidden) return;
    this.read(Infinity);
  }

  #title() {
    const { length } = this.#missed;
    document.title = length > 0 ? `(${length}) ${this.#place}` : this.#place;
  }

  #offerNotices() {
    this.#button.hidden = !("Notification" in window) || !isSecureContext || Notification.permission !== "default";
  }

  async #askForNotices() {
    await Notification.requestPermission();
    this.#offerNotices();
  }
}

function noticesGranted() {
  return "Notification" in window && Notification.permission === "granted";
}
