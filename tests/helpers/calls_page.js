// For tests: a camera of one flat colour and a microphone with a tone, so that a pixel tells who is seen where.
// `window.__me = {colour, tone, canvas, relay, size}` comes before it; without `canvas` the browser's own devices are used.
(() => {
  const { colour, tone, canvas: painted, relay, size } = window.__me;
  window.__tracks = [];

  function camera([width, height] = size) {
    const canvas = document.createElement("canvas");
    canvas.width = width;
    canvas.height = height;
    const context = canvas.getContext("2d");
    let turn = 0;
    const draw = () => {
      turn += 1;
      context.fillStyle = colour;
      context.fillRect(0, 0, width, height);
      // Something that moves, or an encoder has nothing to send.
      context.fillStyle = "rgba(255, 255, 255, 0.5)";
      context.fillRect(((turn * 7) % width) - 4, 0, 8, 8);
    };
    draw();
    const timer = setInterval(draw, 80);
    const [track] = canvas.captureStream(12).getVideoTracks();
    const stop = track.stop.bind(track);
    track.stop = () => {
      clearInterval(timer);
      stop();
    };
    return track;
  }

  function microphone() {
    const context = new AudioContext();
    const oscillator = context.createOscillator();
    const volume = context.createGain();
    volume.gain.value = 0.2;
    oscillator.frequency.value = tone;
    const end = context.createMediaStreamDestination();
    oscillator.connect(volume).connect(end);
    oscillator.start();
    window.__volume = volume.gain;
    const [track] = end.stream.getAudioTracks();
    const stop = track.stop.bind(track);
    track.stop = () => {
      void context.close();
      stop();
    };
    return track;
  }

  if (painted && navigator.mediaDevices) {
    navigator.mediaDevices.getUserMedia = async ({ audio, video }) => {
      const tracks = [audio && microphone(), video && camera()].filter(Boolean);
      window.__tracks.push(...tracks);
      return new MediaStream(tracks);
    };
    navigator.mediaDevices.getDisplayMedia = async ({ audio }) => {
      const tracks = [camera([320, 180]), audio && microphone()].filter(Boolean);
      window.__tracks.push(...tracks);
      return new MediaStream(tracks);
    };
  }

  // Every connection is remembered, so that a test can count the frames that were decoded.
  const { RTCPeerConnection } = window;
  window.__connections = [];
  window.RTCPeerConnection = class extends RTCPeerConnection {
    constructor(config) {
      super(relay ? { ...config, iceTransportPolicy: "relay" } : config);
      window.__connections.push(this);
    }

    setConfiguration(config) {
      super.setConfiguration(relay ? { ...config, iceTransportPolicy: "relay" } : config);
    }
  };

  const inbound = async () => {
    const found = [];
    for (const [at, connection] of window.__connections.entries()) {
      if (connection.connectionState === "closed") continue;
      for (const stat of (await connection.getStats()).values()) {
        if (stat.type === "inbound-rtp") found.push([`${at}/${stat.mid}`, stat]);
      }
    }
    return found;
  };

  window.__flows = async () => {
    const flows = { video: {}, audio: {} };
    for (const [key, { kind, framesDecoded, totalAudioEnergy }] of await inbound()) {
      flows[kind][key] = (kind === "video" ? framesDecoded : totalAudioEnergy) ?? 0;
    }
    return flows;
  };

  /** The longest time without a new frame or packet, for each kind, while it is watched; and of not watching. */
  window.__watch = () => {
    const gaps = { video: 0, audio: 0, blink: 0 };
    const last = new Map();
    let before = performance.now();
    let over = false;
    const look = async () => {
      const stats = await inbound();
      const now = performance.now();
      gaps.blink = Math.max(gaps.blink, now - before);
      before = now;
      for (const [key, { kind, framesReceived, packetsReceived }] of stats) {
        const amount = kind === "video" ? framesReceived : packetsReceived;
        const known = last.get(key);
        if (!known || known.amount !== amount) last.set(key, { amount, at: now, kind });
        else gaps[kind] = Math.max(gaps[kind], now - known.at);
      }
      if (!over) setTimeout(look, 30);
    };
    void look();
    window.__stopWatching = () => {
      over = true;
      return gaps;
    };
  };

  /** When (in ms since 1970) the next picture of anybody is decoded; and the longest time without a look until then. */
  window.__nextPicture = async () => {
    const decoded = async () => {
      const videos = (await inbound()).filter(([, { kind }]) => kind === "video");
      return videos.reduce((sum, [, { framesDecoded }]) => sum + framesDecoded, 0);
    };
    const before = await decoded();
    let blink = 0;
    let last = performance.now();
    while ((await decoded()) <= before) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      blink = Math.max(blink, performance.now() - last);
      last = performance.now();
    }
    return { at: Date.now(), blink };
  };

  const pixel = document.createElement("canvas");
  pixel.width = pixel.height = 1;
  window.__colourOf = (video) => {
    if (!video?.videoWidth) return null;
    const context = pixel.getContext("2d", { willReadFrequently: true });
    context.drawImage(video, video.videoWidth / 2, video.videoHeight / 2, 1, 1, 0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data.slice(0, 3)];
  };
})();
0;
