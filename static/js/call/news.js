// What is said in a call of what happens in it. Words only: who hears them, and what is done, is the meeting's.

/** @import { Kind } from "./capture.js" */
/** @import { Moderated, Participant, ParticipantNews } from "./wire.js" */

/** Why it is over: `again` means that one may enter once more. */
/** @typedef {{title: string, words: string, again: boolean}} Farewell */

/**
 * `told` is for everybody to read, for a moment; `spoken` for those who listen, because those who look see it.
 *
 * @typedef {{told: string[], spoken: string[]}} Said
 */

/**
 * What to say of somebody else who comes, goes or changes.
 *
 * @param {ParticipantNews} news
 * @param {Participant | null} before  As they were.
 * @returns {Said}
 */
export function wordsOfNews({ change, participant, reason }, before) {
  const { name, hand, screen, state } = participant;
  if (change === "left") {
    const words = { lost: "lost the connection", kicked: "was removed" }[reason ?? ""] ?? "left";
    return { told: [`${name} ${words}.`], spoken: [] };
  }
  const told = [];
  const spoken = [];
  if (change === "joined" && !before) told.push(`${name} joined.`);
  if (change === "reconnecting") spoken.push(`${name} is reconnecting.`);
  if (before?.state === "reconnecting" && state === "here" && change !== "reconnecting") spoken.push(`${name} is back.`);
  if (hand && !before?.hand) told.push(`${name} raised a hand.`);
  if (screen && !before?.screen) spoken.push(`${name} shares a screen.`);
  return { told, spoken };
}

/**
 * A device is gone.
 *
 * @param {Kind} kind
 * @param {string | null} instead  What is used instead, if anything is.
 */
export function wordsOfLoss(kind, instead) {
  const words = instead ? `Now ${instead} is used.` : `You are not ${kind === "camera" ? "seen" : "heard"} now.`;
  return `Your ${kind} is gone. ${words}`;
}

/**
 * A moderator took something away; everything, where no source is named.
 *
 * @param {Moderated} order
 */
export function wordsOfOrder({ action, source, by }) {
  const who = by?.name ?? "A moderator";
  if (action === "mute") return `${who} muted you.`;
  const what = { microphone: "microphone", camera: "camera", screen: "screen", "screen-audio": "screen" };
  return `${who} switched off your ${source ? what[source] : "microphone, camera and screen"}.`;
}

/** It goes on in another tab, or on another device. @type {Farewell} */
export const ELSEWHERE = {
  title: "This call goes on elsewhere",
  words: "You entered it in another tab or on another device, with the same link.",
  again: true,
};

/**
 * The call is over, or is for this person.
 *
 * @param {string} reason
 * @param {string} [who]
 * @returns {Farewell}
 */
export function farewellOf(reason, who = "A moderator") {
  if (reason === "kicked") return { title: `${who} removed you from the call`, words: "", again: false };
  if (reason === "ended") return { title: `${who} ended the call`, words: "", again: false };
  return { title: "The call is over", words: "", again: true };
}
