// A participant of a call through the server, in as few words as it takes: one connection up, one down, a flat colour
// for a camera. What it sees of the others, it tells by their colour.

(() => {
  class Caller {
    constructor(io, { token, room, name, colour, watching }) {
      Object.assign(this, { room, name, colour, watching });
      this.media = { audio: false, video: !watching };
      this.heard = [];
      this.seen = new Map();
      this.lines = new Map();
      this.resets = 0;
      this.socket = io("/calls", { auth: { token }, transports: ["websocket"], reconnectionDelay: 100, reconnectionDelayMax: 300 });
      this.socket.on("connect", () => this.enter().catch((error) => this.fail(error)));
      this.socket.on("connect_error", (error) => this.heard.push(["connect_error", error.message]));
      this.socket.on("offer", (offer) => {
        this.answering = (this.answering ?? Promise.resolve()).then(() => this.answer(offer)).catch((error) => this.fail(error));
      });
      this.socket.on("media", ({ state }) => {
        this.heard.push(["media", state]);
        if (state === "reset") this.begin().catch((error) => this.fail(error));
      });
      for (const event of ["participant", "moderated", "ended", "superseded"]) {
        this.socket.on(event, (told) => this.heard.push([event, told]));
      }
    }

    fail(error) {
      this.heard.push(["failed", String(error)]);
    }

    ask(event, payload) {
      return new Promise((done, failed) => {
        this.socket.timeout(20_000).emit(event, payload, (error, ok, answer) => {
          if (error) failed(error);
          else if (ok) done(answer);
          else failed(new Error(`${event}: ${answer.code}: ${answer.message}`));
        });
      });
    }

    async enter() {
      const resumed = this.resume !== undefined;
      const entered = await this.ask("join", { room: this.room, media: this.media, ...(resumed ? { resume: this.resume } : {}) });
      this.resume = entered.resume;
      this.id = entered.participant.id;
      this.entered = entered;
      this.others = entered.participants.length;
      if (!resumed) await this.begin();
    }

    async begin() {
      this.resets += 1;
      const round = this.resets;
      this.up?.close();
      this.down?.close();
      this.down = null;
      this.seen.clear();
      await this.ask("ready", {});
      if (this.watching || round !== this.resets) return;
      this.up = new RTCPeerConnection();
      this.up.onicecandidate = ({ candidate }) => this.ask("candidate", { pc: "up", candidate }).catch(() => {});
      this.stream ??= this.paint();
      this.screen = null;
      this.camera = this.up.addTransceiver(this.stream.getVideoTracks()[0], { direction: "sendonly" });
      await this.publish();
    }

    async publish() {
      const offer = await this.up.createOffer();
      const early = this.up.onicecandidate;
      const held = [];
      this.up.onicecandidate = (event) => held.push(event);
      await this.up.setLocalDescription(offer);
      const tracks = this.up.getTransceivers().filter(({ direction }) => direction === "sendonly")
        .map(({ mid }) => ({ mid, source: mid === this.camera.mid ? "camera" : "screen" }));
      const { answer } = await this.ask("publish", { offer: this.up.localDescription, tracks });
      await this.up.setRemoteDescription(answer);
      this.up.onicecandidate = early;
      for (const event of held) early(event);
    }

    async answer({ seq, offer, tracks }) {
      if (!this.down) {
        this.down = new RTCPeerConnection();
        this.down.onicecandidate = ({ candidate }) => this.ask("candidate", { pc: "down", candidate }).catch(() => {});
      }
      await this.down.setRemoteDescription(offer);
      await this.down.setLocalDescription(await this.down.createAnswer());
      this.lines = new Map(tracks.map((track) => [track.mid, track]));
      this.seen.clear();
      for (const { mid, receiver } of this.down.getTransceivers()) {
        const line = this.lines.get(mid);
        if (line) this.seen.set(`${line.participant} ${line.source}`, receiver.track);
      }
      await this.ask("ready", { seq, answer: this.down.localDescription });
    }

    paint(colour = this.colour) {
      const canvas = document.createElement("canvas");
      canvas.width = canvas.height = 128;
      const context = canvas.getContext("2d");
      const draw = () => {
        context.fillStyle = colour;
        context.fillRect(0, 0, 128, 128);
      };
      setInterval(draw, 100);
      draw();
      return canvas.captureStream(10);
    }

    async share(colour) {
      const [track] = this.paint(colour).getVideoTracks();
      if (this.screen) {
        this.screen.direction = "sendonly";
        await this.screen.sender.replaceTrack(track);
      } else {
        this.screen = this.up.addTransceiver(track, { direction: "sendonly" });
      }
      await this.publish();
    }

    async unshare() {
      this.screen.direction = "inactive";
      await this.screen.sender.replaceTrack(null);
      await this.publish();
    }

    /** The colour of what is seen of each, as one pixel of the newest frame; it is black until there is one. */
    async colours() {
      const found = {};
      for (const [whose, track] of this.seen) {
        const reader = new MediaStreamTrackProcessor({ track: track.clone(), maxBufferSize: 1 }).readable.getReader();
        const next = await Promise.race([reader.read(), new Promise((done) => setTimeout(done, 1_500, { done: true }))]);
        reader.cancel();
        if (next.done) {
          found[whose] = null;
          continue;
        }
        const canvas = new OffscreenCanvas(1, 1);
        const context = canvas.getContext("2d");
        context.drawImage(next.value, 0, 0, 1, 1);
        next.value.close();
        found[whose] = [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
      }
      return found;
    }
  }

  globalThis.enterCall = async (vendor, options) => {
    const { io } = await import(vendor);
    globalThis.caller = new Caller(io, options);
  };
})();
0;
