// For tests: a camera of one flat colour and a microphone with a tone, so that a pixel tells who is seen where.
// `window.__me = {colour, tone}` comes before it.
(() => {
  const { colour, tone } = window.__me;
  window.__tracks = [];

  function camera(width = 320, height = 240) {
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
    return end.stream.getAudioTracks()[0];
  }

  navigator.mediaDevices.getUserMedia = async ({ audio, video }) => {
    const tracks = [audio && microphone(), video && camera()].filter(Boolean);
    window.__tracks.push(...tracks);
    return new MediaStream(tracks);
  };
  navigator.mediaDevices.getDisplayMedia = async ({ audio }) => {
    const tracks = [camera(640, 360), audio && microphone()].filter(Boolean);
    window.__tracks.push(...tracks);
    return new MediaStream(tracks);
  };

  // Every connection is remembered, so that a test can count the frames that were decoded.
  const { RTCPeerConnection } = window;
  window.__connections = [];
  window.RTCPeerConnection = class extends RTCPeerConnection {
    constructor(config) {
      super(window.__relay ? { ...config, iceTransportPolicy: "relay" } : config);
      window.__connections.push(this);
    }
  };

  window.__received = async (kind, field) => {
    let sum = 0;
    for (const connection of window.__connections) {
      if (connection.connectionState === "closed") continue;
      for (const stat of (await connection.getStats()).values()) {
        if (stat.type === "inbound-rtp" && stat.kind === kind) sum += stat[field] ?? 0;
      }
    }
    return sum;
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
