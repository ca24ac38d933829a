// The microphone as a stream of 16 kHz PCM chunks. Nothing of it is kept here.

/** Open the microphone; `onChunk({samples, level, peak})` is called every 50 ms. Throws what getUserMedia throws. */
export async function openMicrophone(onChunk) {
  if (!navigator.mediaDevices) throw new DOMException("not a secure page", "SecurityError");
  const plain = { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false };
  const stream = await navigator.mediaDevices.getUserMedia({ audio: plain });
  const context = new AudioContext();
  try {
    await context.audioWorklet.addModule("/static/js/resampler.js");
    await context.resume();
  } catch (error) {
    stream.getTracks().forEach((track) => track.stop());
    throw error;
  }
  const resampler = new AudioWorkletNode(context, "resampler");
  resampler.port.onmessage = ({ data }) => onChunk(data);
  context.createMediaStreamSource(stream).connect(resampler).connect(context.destination);
  return {
    close() {
      resampler.port.onmessage = null;
      stream.getTracks().forEach((track) => track.stop());
      context.close();
    },
  };
}

/** Which of our sentences explains why there is no microphone. */
export function microphoneFault(error) {
  switch (error.name) {
    case "NotAllowedError":
      return "mic.refused";
    case "NotFoundError":
      return "mic.missing";
    case "NotReadableError":
      return "mic.taken";
    case "SecurityError":
      return "mic.insecure";
    default:
      return "mic.failed";
  }
}

const QUIET_DB = -52;
const PAUSE_S = 1.1;
const LONGEST_S = 15;
const PATIENCE_S = 4;
const CHUNK_S = 0.05;

/** One clip: gathers chunks until the speaker pauses, and tells how it is going. */
export class Clip {
  constructor() {
    this.chunks = [];
    this.speechS = 0;
    this.pauseS = 0;
    this.floor = 0; // of the room, dB
    this.loudest = 0;
    this.levels = [];
  }

  /** Take in a chunk; true once the clip is over. */
  add({ samples, level, peak }) {
    this.chunks.push(samples);
    this.levels.push(level);
    this.floor = Math.min(...this.levels.slice(-200));
    this.loudest = Math.max(this.loudest, peak);
    const speaks = level > Math.max(QUIET_DB, this.floor + 9);
    this.speechS += speaks ? CHUNK_S : 0;
    this.pauseS = speaks ? 0 : this.pauseS + CHUNK_S;
    const spoken = this.speechS > 0.3 && this.pauseS >= PAUSE_S;
    return spoken || this.chunks.length * CHUNK_S >= LONGEST_S;
  }

  /** What to tell the speaker now: the key of a sentence, or nothing. */
  advice() {
    if (this.loudest > 0.99) return "advice.clipped";
    if (this.chunks.length * CHUNK_S > PATIENCE_S && this.speechS === 0) return "advice.too_quiet";
    return "";
  }

  /** The sound as bytes: 16 bit, little-endian. */
  bytes() {
    const whole = new Int16Array(this.chunks.reduce((sum, chunk) => sum + chunk.length, 0));
    let at = 0;
    for (const chunk of this.chunks) {
      whole.set(chunk, at);
      at += chunk.length;
    }
    return whole;
  }
}
