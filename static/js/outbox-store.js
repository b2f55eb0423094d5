// Where unsent messages wait: IndexedDB, which all tabs of this origin share and which survives a crash.
// Stores and hands out; when and what to send is the outbox's business.

/** @import { Refusal } from "./protocol.js" */

/**
 * A message on its way, or a change of one, as kept on disk.
 *
 * @typedef {object} Letter
 * @property {number} [place]      Its place in the line; given by the store.
 * @property {string} client_id
 * @property {string} person       Whose it is: the account name, normalised.
 * @property {string} room
 * @property {string} content
 * @property {string} [target]     The id of the message that this changes; without one, it is a message itself.
 * @property {boolean} [deletes]   The change is a deletion.
 * @property {number} written_at   Milliseconds since 1970, by this device's clock.
 * @property {Refusal | null} refusal  Why it was refused for good; null while it waits to be sent.
 */

/** @typedef {{person: string, owner: string, until: number}} Lease */

/**
 * @typedef {object} Store
 * @property {boolean} durable
 * @property {(letter: Letter) => Promise<void>} add      Add a new letter at the end of the line.
 * @property {(letter: Letter) => Promise<void>} put      Add a letter, or replace the one with its `client_id`.
 * @property {(client_id: string) => Promise<void>} remove
 * @property {(person: string) => Promise<Letter[]>} all  In the order of their places.
 * @property {(lease: Lease, now: number) => Promise<boolean>} claim  Whether the lease is now its owner's.
 * @property {(person: string) => Promise<void>} release  For its owner only.
 */

const DATABASE = "chatzilla";
const VERSION = 1;

/**
 * Open the store; in private windows and the like there may be no IndexedDB, and then memory has to do.
 *
 * @param {IDBFactory | undefined} factory
 * @returns {Promise<Store>}
 */
export async function openStore(factory) {
  try {
    if (!factory) return new MemoryStore();
    return new DiskStore(await open(factory));
  } catch {
    return new MemoryStore();
  }
}

/** @implements {Store} */
class DiskStore {
  durable = true;
  #database;

  /** @param {IDBDatabase} database */
  constructor(database) {
    this.#database = database;
    // A newer version of the page wants to change the layout: do not stand in its way.
    database.onversionchange = () => database.close();
  }

  /** @param {Letter} letter */
  async add(letter) {
    const letters = this.#letters("readwrite");
    const added = done(letters.add(letter));
    // Nothing is left to ask, so it need not wait for this page, which may be gone in a moment.
    letters.transaction.commit();
    letter.place = Number(await added);
    await committed(letters.transaction);
  }

  /** @param {Letter} letter */
  async put(letter) {
    const letters = this.#letters("readwrite");
    const place = await done(letters.index("client_id").getKey(letter.client_id));
    const key = await done(letters.put(place === undefined ? letter : { ...letter, place }));
    letter.place = Number(key);
    await committed(letters.transaction);
  }

  /** @param {string} client_id */
  async remove(client_id) {
    const letters = this.#letters("readwrite");
    const place = await done(letters.index("client_id").getKey(client_id));
    if (place !== undefined) letters.delete(place);
    await committed(letters.transaction);
  }

  /** @param {string} person */
  async all(person) {
    /** @type {Letter[]} */
    const letters = await done(this.#letters("readonly").index("person").getAll(person));
    return letters;
  }

  /**
   * @param {Lease} lease
   * @param {number} now
   */
  async claim(lease, now) {
    const leases = this.#database.transaction("leases", "readwrite").objectStore("leases");
    /** @type {Lease | undefined} */
    const held = await done(leases.get(lease.person));
    // A clock that was set back must not lock everybody out: no lease reaches further than a fresh one.
    const free = !held || held.owner === lease.owner || held.until <= now || held.until > lease.until;
    if (free) leases.put(lease);
    await committed(leases.transaction);
    return free;
  }

  /** @param {string} person */
  async release(person) {
    const leases = this.#database.transaction("leases", "readwrite").objectStore("leases");
    leases.delete(person);
    leases.transaction.commit();
    await committed(leases.transaction);
  }

  /** @param {IDBTransactionMode} mode */
  #letters(mode) {
    return this.#database.transaction("letters", mode).objectStore("letters");
  }
}

/**
 * The same in memory, for this tab alone.
 *
 * @implements {Store}
 */
class MemoryStore {
  durable = false;
  #lastPlace = 0;
  /** @type {Map<string, Letter>} */
  #letters = new Map();

  /** @param {Letter} letter */
  add(letter) {
    return this.put(letter);
  }

  /** @param {Letter} letter */
  async put(letter) {
    letter.place = this.#letters.get(letter.client_id)?.place ?? (this.#lastPlace += 1);
    this.#letters.set(letter.client_id, { ...letter });
  }

  /** @param {string} client_id */
  async remove(client_id) {
    this.#letters.delete(client_id);
  }

  /** @param {string} person */
  async all(person) {
    return [...this.#letters.values()].filter((letter) => letter.person === person);
  }

  async claim() {
    return true;
  }

  async release() {}
}

/**
 * @param {IDBFactory} factory
 * @returns {Promise<IDBDatabase>}
 */
function open(factory) {
  const request = factory.open(DATABASE, VERSION);
  request.onupgradeneeded = () => {
    const letters = request.result.createObjectStore("letters", { keyPath: "place", autoIncrement: true });
    letters.createIndex("client_id", "client_id", { unique: true });
    letters.createIndex("person", "person");
    request.result.createObjectStore("leases", { keyPath: "person" });
  };
  return done(request);
}

/**
 * @template Value
 * @param {IDBRequest<Value>} request
 * @returns {Promise<Value>}
 */
function done(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/**
 * @param {IDBTransaction} transaction
 * @returns {Promise<void>}
 */
function committed(transaction) {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error);
  });
}
