// Lets the page's own files run under node: its Socket.IO client is the official one behind `socket_io.mjs`. For the test
// of the test, a line of a file is replaced by a faulty one.

const CLIENT = new URL("./socket_io.mjs", import.meta.url).href;
const STATIC = new URL("../../static/js/", import.meta.url).href;

/** What each mutant replaces: [file, text that has to be there, what stands there instead]. */
const MUTANTS = {
  no_hole_detection: [
    ["timeline.js", "message.changed === this.#cursor + 1", "message.changed > this.#cursor"],
    ["timeline.js", "|| this.#heardUpTo > this.#cursor;", ";"],
  ],
  outbox_forgets: [
    ["outbox-store.js", "return new DiskStore(await open(factory));", "return new MemoryStore();"],
    ["journal.js", "this.#storage.setItem(PREFIX + letter.client_id, JSON.stringify(letter));", ""],
  ],
  new_id_for_a_retry: [
    ["session.js", '{ room, client_id, content })', '{ room, client_id: crypto.randomUUID(), content })'],
  ],
};

let replacements = [];

export function initialize({ mutant }) {
  replacements = mutant ? MUTANTS[mutant] : [];
}

export function resolve(specifier, context, next) {
  if (specifier.endsWith("/vendor/socket.io.esm.min.js")) return { url: CLIENT, shortCircuit: true };
  return next(specifier, context);
}

export async function load(url, context, next) {
  const loaded = await next(url, context);
  if (!url.startsWith(STATIC)) return loaded;
  let source = String(loaded.source);
  for (const [file, correct, faulty] of replacements) {
    if (!url.endsWith(`/${file}`)) continue;
    if (!source.includes(correct)) throw new Error(`${file} has no ${correct}`);
    source = source.replace(correct, faulty);
  }
  return { ...loaded, source };
}
