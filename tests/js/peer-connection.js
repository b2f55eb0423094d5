// As much of an RTCPeerConnection as negotiation needs: signalling states, lines with mids, rollback. A description is
// readable: one line for each transceiver. Media are not carried; the browser's tests do that.

/** @typedef {{mid: string, kind: string, direction: string}} Line */

let sessions = 0;

class Transceiver {
  /** @type {string | null} */
  mid = null;
  /** @type {string | null} */
  currentDirection = null;
  #direction;
  #connection;
  kind;
  sender;
  receiver;

  /**
   * @param {Connection} connection
   * @param {any} trackOrKind
   * @param {string} direction
   * @param {object[]} [encodings]
   */
  constructor(connection, trackOrKind, direction, encodings = [{}]) {
    this.#connection = connection;
    this.#direction = direction;
    this.kind = typeof trackOrKind === "string" ? trackOrKind : trackOrKind.kind;
    const sender = {
      track: typeof trackOrKind === "string" ? null : trackOrKind,
      /** @type {any} */
      parameters: { encodings },
      replaceTrack: async (/** @type {any} */ track) => void (sender.track = track),
      getParameters: () => structuredClone(sender.parameters),
      setParameters: async (/** @type {any} */ parameters) => void (sender.parameters = parameters),
    };
    this.sender = sender;
    const receiver = {
      track: { kind: this.kind, of: connection },
      /** What has been heard on it: energy and seconds. @type {{energy: number, seconds: number} | null} */
      played: null,
      getStats: async () => {
        const { energy: totalAudioEnergy, seconds: totalSamplesDuration } = receiver.played ?? {};
        const heard = receiver.played ? [{ id: "I", type: "inbound-rtp", totalAudioEnergy, totalSamplesDuration }] : [];
        return new Map(heard.map((stat) => [stat.id, stat]));
      },
    };
    this.receiver = receiver;
  }

  get direction() {
    return this.#direction;
  }

  set direction(direction) {
    if (direction === this.#direction) return;
    this.#direction = direction;
    this.#connection.isNeeded();
  }
}

export class Connection {
  signalingState = "stable";
  connectionState = "new";
  /** @type {{type: string, sdp: string} | null} */
  localDescription = null;
  /** @type {{type: string, sdp: string} | null} */
  remoteDescription = null;
  /** @type {Transceiver[]} */
  transceivers = [];
  /** @type {any[]} */
  candidates = [];
  restarts = 0;
  /** How often an offer was taken back. Chromium may lose pictures then. */
  rollbacks = 0;
  config;
  /** @type {(() => void) | null} */
  onnegotiationneeded = null;
  /** @type {((event: any) => void) | null} */
  onicecandidate = null;
  /** @type {((event: any) => void) | null} */
  onicecandidateerror = null;
  /** @type {(() => void) | null} */
  onconnectionstatechange = null;
  #session = (sessions += 1);
  #version = 0;
  /** @type {{type: "offer", sdp: string} | null} The newest one that was made. */
  #offered = null;
  #needed = false;
  #scheduled = false;
  /** @type {Set<Transceiver>} Whose lines are only proposed. */
  #proposed = new Set();

  /** @param {any} config */
  constructor(config) {
    this.config = config;
  }

  get ufrag() {
    return `fragment${this.#session}`;
  }

  /**
   * @param {any} trackOrKind
   * @param {{direction: string, sendEncodings?: object[]}} init
   */
  addTransceiver(trackOrKind, { direction, sendEncodings }) {
    const transceiver = new Transceiver(this, trackOrKind, direction, sendEncodings);
    this.transceivers.push(transceiver);
    this.isNeeded();
    return transceiver;
  }

  getTransceivers() {
    return this.transceivers;
  }

  getReceivers() {
    return this.transceivers.map(({ receiver }) => receiver);
  }

  getConfiguration() {
    return this.config;
  }

  /** @param {any} config */
  setConfiguration(config) {
    this.config = config;
  }

  restartIce() {
    this.restarts += 1;
    this.isNeeded();
  }

  /** An offer, of which nothing is left unless it is made the local description. */
  async createOffer() {
    this.#version += 1;
    this.#offered = { type: /** @type {const} */ ("offer"), sdp: this.#describe(this.#names()) };
    return this.#offered;
  }

  /** @param {{type: string, sdp: string}} [description] */
  async setLocalDescription(description) {
    if (description && (description !== this.#offered || this.signalingState !== "stable")) {
      throw new Error("an offer that is over");
    }
    const answers = this.signalingState === "have-remote-offer";
    if (answers) {
      this.#version += 1;
      this.localDescription = { type: "answer", sdp: this.#describe() };
    } else {
      this.localDescription = description ?? (await this.createOffer());
      const lines = linesOf(this.localDescription.sdp);
      for (const [transceiver, mid] of this.#names()) {
        if (transceiver.mid !== null || !lines.some((line) => line.mid === mid)) continue;
        transceiver.mid = mid;
        this.#proposed.add(transceiver);
      }
    }
    this.signalingState = answers ? "stable" : "have-local-offer";
    this.#needed = false;
    if (answers) this.#agree();
  }

  /** @param {{type: string, sdp: string}} description */
  async setRemoteDescription(description) {
    if (description.type === "offer") {
      if (this.signalingState === "have-local-offer") this.#rollBack();
      this.signalingState = "have-remote-offer";
    } else {
      if (this.signalingState !== "have-local-offer") throw new Error("an answer to nothing");
      this.signalingState = "stable";
    }
    this.remoteDescription = description;
    for (const { mid, kind } of linesOf(description.sdp)) {
      if (this.transceivers.some((known) => known.mid === mid)) continue;
      const transceiver = new Transceiver(this, kind, "recvonly");
      transceiver.mid = mid;
      this.transceivers.push(transceiver);
    }
    if (description.type === "answer") this.#agree();
  }

  /** @param {any} candidate */
  async addIceCandidate(candidate) {
    if (!this.remoteDescription) throw new Error("a candidate before the description");
    this.candidates.push(candidate);
  }

  close() {
    this.signalingState = "closed";
    this.connectionState = "closed";
  }

  /** @param {string} state */
  becomes(state) {
    this.connectionState = state;
    this.onconnectionstatechange?.();
  }

  isNeeded() {
    this.#needed = true;
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      if (this.#needed && this.signalingState === "stable") this.onnegotiationneeded?.();
    });
  }

  /** What each line is called, or would be. @returns {Map<Transceiver, string>} */
  #names() {
    const taken = new Set(this.transceivers.map(({ mid }) => mid));
    /** @type {Map<Transceiver, string>} */
    const names = new Map();
    let next = 0;
    for (const transceiver of this.transceivers) {
      while (transceiver.mid === null && taken.has(String(next))) next += 1;
      const mid = transceiver.mid ?? String(next);
      taken.add(mid);
      names.set(transceiver, mid);
    }
    return names;
  }

  /** @param {Map<Transceiver, string>} [names]  With those of lines that have none yet. */
  #describe(names) {
    const lines = this.transceivers.flatMap((transceiver) => {
      const mid = names?.get(transceiver) ?? transceiver.mid;
      const { kind, direction } = transceiver;
      return mid === null ? [] : [`a=mid:${mid}\r\nm=${mid} ${kind} ${direction}\r\n`];
    });
    return `v=0\r\no=- ${this.#session} ${this.#version} IN IP4 127.0.0.1\r\na=ice-ufrag:${this.ufrag}\r\n${lines.join("")}`;
  }

  #rollBack() {
    this.rollbacks += 1;
    for (const transceiver of this.#proposed) transceiver.mid = null;
    this.#proposed.clear();
    this.#needed = true;
    this.signalingState = "stable";
  }

  #agree() {
    this.#proposed.clear();
    const theirs = new Map(linesOf(this.remoteDescription?.sdp ?? "").map(({ mid, direction }) => [mid, direction]));
    for (const transceiver of this.transceivers) {
      const other = theirs.get(transceiver.mid ?? "") ?? "inactive";
      const sends = /send/.test(transceiver.direction) && /recv/.test(other);
      const receives = /recv/.test(transceiver.direction) && /send/.test(other);
      transceiver.currentDirection = sends ? (receives ? "sendrecv" : "sendonly") : receives ? "recvonly" : "inactive";
    }
    // What has changed since the description was made is not in it.
    const ours = new Map(linesOf(this.localDescription?.sdp ?? "").map(({ mid, direction }) => [mid, direction]));
    if (this.#needed || this.transceivers.some(({ mid, direction }) => ours.get(mid ?? "") !== direction)) this.isNeeded();
  }
}

/**
 * @param {string} sdp
 * @returns {Line[]}
 */
function linesOf(sdp) {
  return [...sdp.matchAll(/^m=(\S+) (\S+) (\S+)/gm)].map(([, mid, kind, direction]) => ({ mid, kind, direction }));
}
