// One peer connection between this page and the server, up or down: one thing after another on it, its candidates, and
// mending what broke. What is negotiated on it, its user knows.

/** @import { Link } from "./call.js" */
/** @import { EngineWorld } from "./engine.js" */

import { isWorthTelling, routeOf, standOf, troubleOf } from "./rtc.js";

/** How long a new connection, or one that looks for another way, may take before everything begins anew. */
const CONNECT_WITHIN_MS = 15_000;
const RESTART_WITHIN_MS = 8_000;

/**
 * @typedef {object} Wishes
 * @property {() => void} changed  Its state is another one.
 * @property {() => void} restart  It has lost its way: negotiate another one.
 * @property {() => void} broken   It does not come to anything; begin anew.
 */

export class Leg {
  #name;
  #world;
  #wishes;
  #connection;
  /** @type {Promise<void>} */
  #turn = Promise.resolve();
  /** @type {(RTCIceCandidateInit | null)[] | null} Candidates that the server cannot take yet, where that is so. */
  #held = null;
  /** Counts what happened to it, so that a step knows whether it is about the present state. */
  #turns = 0;
  #closed = false;

  /**
   * @param {"up" | "down"} name
   * @param {EngineWorld} world
   * @param {RTCConfiguration} config
   * @param {Wishes} wishes
   */
  constructor(name, world, config, wishes) {
    this.#name = name;
    this.#world = world;
    this.#wishes = wishes;
    const connection = world.connect(config);
    this.#connection = connection;
    connection.onicecandidate = ({ candidate }) => {
      if (!candidate || isWorthTelling(candidate)) this.#tell(candidate?.toJSON() ?? null);
    };
    connection.onicecandidateerror = (error) => {
      const trouble = troubleOf(error);
      if (trouble) world.listener.trouble(trouble);
    };
    connection.onconnectionstatechange = () => this.#changed();
    this.#unlessConnected(CONNECT_WITHIN_MS);
  }

  get connection() {
    return this.#connection;
  }

  /** @returns {Link} */
  get way() {
    const { connectionState: state } = this.#connection;
    if (state === "connected" || state === "failed") return state;
    return state === "disconnected" || state === "closed" ? "reconnecting" : "connecting";
  }

  route() {
    return routeOf("", this.#connection);
  }

  /**
   * One thing after another; a step of a connection that is closed meanwhile is nobody's business.
   *
   * @param {() => void | Promise<void>} step
   */
  do(step) {
    this.#turn = this.#turn.then(async () => {
      if (this.#closed) return;
      try {
        await step();
      } catch (error) {
        if (this.#closed) return;
        console.warn(`The connection ${this.#name} is set up anew.`, error);
        this.#wishes.broken();
      }
    });
  }

  /** Keep candidates back: the server does not know yet what they are for. */
  holdCandidates() {
    this.#held ??= [];
  }

  releaseCandidates() {
    const held = this.#held ?? [];
    this.#held = null;
    for (const candidate of held) this.#tell(candidate);
  }

  /** This page has been out of reach: whatever way was lost meanwhile is looked for again. */
  mend() {
    if (this.way === "reconnecting" || this.way === "failed") this.#mend();
  }

  close() {
    const connection = this.#connection;
    this.#closed = true;
    this.#turns += 1;
    connection.onnegotiationneeded = connection.onicecandidate = connection.onicecandidateerror = null;
    connection.onconnectionstatechange = null;
    connection.close();
  }

  /** @param {RTCIceCandidateInit | null} candidate */
  #tell(candidate) {
    if (this.#closed || candidate?.candidate === "") return; // the end of one generation, which null says as well
    if (this.#held) this.#held.push(candidate);
    // One that gets lost is missed only where no other leads to the server, and then everything begins anew.
    else void this.#world.ask("candidate", { pc: this.#name, candidate });
  }

  #changed() {
    this.#turns += 1;
    if (this.way === "failed") this.#mend();
    this.#wishes.changed();
  }

  #mend() {
    this.#turns += 1;
    const turn = this.#turns;
    this.do(async () => {
      const ice = await this.#world.ice();
      if (turn !== this.#turns) return;
      if (ice) this.#connection.setConfiguration({ ...this.#connection.getConfiguration(), iceServers: ice.servers });
      this.#wishes.restart();
    });
    this.#unlessConnected(RESTART_WITHIN_MS);
  }

  #giveUp() {
    console.info(`Nothing comes of the connection ${this.#name}: ${standOf(this.#connection)}. It is begun anew.`);
    this.#wishes.broken();
  }

  /**
   * Begin anew when it does not come about. If it has begun to meanwhile it is only slow, and would be no faster if it had
   * to begin again; so it gets the same time once more.
   *
   * @param {number} ms
   */
  #unlessConnected(ms) {
    const turn = this.#turns;
    this.#world.later(() => {
      if (this.#closed || this.way === "connected") return;
      if (turn !== this.#turns && this.way === "connecting") this.#unlessConnected(ms);
      else this.#giveUp();
    }, ms);
  }
}
