// Hosts the page's own timelines for tests in Python: one command a line in, one answer a line out.

import { createInterface } from "node:readline";

import { Timeline } from "../../static/js/timeline.js";

/** @type {Map<string, Timeline>} */
const timelines = new Map();

for await (const line of createInterface({ input: process.stdin })) {
  const [id, verb, ...rest] = JSON.parse(line);
  if (verb === "new") timelines.set(id, new Timeline(rest[0]));
  const timeline = /** @type {any} */ (timelines.get(id));
  const result = ["new", "state"].includes(verb) ? null : timeline[verb](...rest);
  const { cursor, epoch, incomplete, hasOlder } = timeline;
  const rows = verb === "state" ? timeline.rows : undefined;
  process.stdout.write(`${JSON.stringify({ result: result ?? null, cursor, epoch, incomplete, hasOlder, rows })}\n`);
}
