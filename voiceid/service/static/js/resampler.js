// AudioWorklet: whatever rate the microphone has -> 16 kHz, 16 bit, in chunks of 50 ms, with their level.

const RATE_HZ = 16000;
const CHUNK = 800;
const TAPS = 24; // zero crossings of the filter on each side
const PHASES = 512;

class Resampler extends AudioWorkletProcessor {
  constructor() {
    super();
    this.step = sampleRate / RATE_HZ;
    this.stretch = Math.max(1, this.step);
    this.width = Math.ceil(TAPS * this.stretch);
    this.kernel = sincKernel(this.stretch);
    this.heard = new Float32Array(0);
    this.at = this.width; // position of the next output in `heard`
    this.chunk = new Int16Array(CHUNK);
    this.filled = 0;
    this.sum = 0;
    this.peak = 0;
  }

  process([input]) {
    if (input.length === 0) return true;
    const joined = new Float32Array(this.heard.length + input[0].length);
    joined.set(this.heard);
    joined.set(input[0], this.heard.length);
    this.heard = joined;
    while (this.at + this.width < this.heard.length) {
      this.put(this.sample(this.at));
      this.at += this.step;
    }
    const gone = Math.max(0, Math.floor(this.at) - this.width);
    this.heard = this.heard.slice(gone);
    this.at -= gone;
    return true;
  }

  sample(at) {
    if (this.step === 1) return this.heard[Math.round(at)];
    let sum = 0;
    const first = Math.ceil(at - this.width + 1);
    for (let k = first; k < at + this.width; k++) {
      sum += this.heard[k] * this.kernel[Math.round((Math.abs(at - k) * PHASES) / this.stretch)];
    }
    return sum / this.stretch;
  }

  put(value) {
    const limited = Math.max(-1, Math.min(1, value));
    this.chunk[this.filled++] = Math.round(limited * 32767);
    this.sum += limited * limited;
    this.peak = Math.max(this.peak, Math.abs(limited));
    if (this.filled < CHUNK) return;
    const level = 10 * Math.log10(this.sum / CHUNK + 1e-12);
    this.port.postMessage({ samples: this.chunk, level, peak: this.peak }, [this.chunk.buffer]);
    this.chunk = new Int16Array(CHUNK);
    this.filled = this.sum = this.peak = 0;
  }
}

/** Half of a Blackman-windowed sinc, cut a little below half of the lower rate. */
function sincKernel(stretch) {
  const cut = stretch > 1 ? 0.94 : 1;
  const kernel = new Float32Array((TAPS + 1) * PHASES + 2);
  for (let i = 0; i <= TAPS * PHASES; i++) {
    const x = i / PHASES;
    const sinc = x === 0 ? 1 : Math.sin(Math.PI * x * cut) / (Math.PI * x * cut);
    const phase = (Math.PI * x) / TAPS;
    kernel[i] = cut * sinc * (0.42 + 0.5 * Math.cos(phase) + 0.08 * Math.cos(2 * phase));
  }
  return kernel;
}

registerProcessor("resampler", Resampler);
