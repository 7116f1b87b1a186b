/**
 * Any sample rate to the model's, chunk by chunk: a windowed sinc, whose cutoff lies below half of the lower
 * rate. Sound in pieces gives the same samples as in one.
 */
const lobes = 12;
/** Below half of the rate, by so much that what the window lets through beyond it is faint. */
const passband = 0.92;

export class Resampler {
  /** Input samples for each output sample. */
  private readonly step: number;
  private readonly cutoff: number;
  /** How many input samples to each side count. */
  private readonly reach: number;
  private history: Float32Array;
  /** In `history`, of the next output sample. */
  private position: number;

  constructor(from: number, to: number) {
    this.step = from / to;
    this.cutoff = passband * Math.min(1, to / from);
    this.reach = Math.ceil(lobes / this.cutoff);
    this.history = new Float32Array(this.reach);
    this.position = this.reach;
  }

  push(samples: Float32Array): Float32Array {
    if (this.step === 1) return samples;
    const all = new Float32Array(this.history.length + samples.length);
    all.set(this.history);
    all.set(samples, this.history.length);
    const out = new Float32Array(Math.max(0, Math.ceil((all.length - this.reach - this.position) / this.step)));
    for (let index = 0; index < out.length; index++) out[index] = this.at(all, this.position + index * this.step);
    this.position += out.length * this.step;
    const done = Math.max(0, Math.floor(this.position) - this.reach);
    this.history = all.slice(done);
    this.position -= done;
    return out;
  }

  /** What the last samples still give. */
  finish(): Float32Array {
    return this.step === 1 ? new Float32Array(0) : this.push(new Float32Array(this.reach));
  }

  private at(samples: Float32Array, position: number): number {
    let sum = 0;
    const last = Math.min(samples.length - 1, Math.floor(position + this.reach));
    for (let index = Math.max(0, Math.ceil(position - this.reach)); index <= last; index++) {
      sum += (samples[index] ?? 0) * this.weight(index - position);
    }
    return sum;
  }

  private weight(distance: number): number {
    const angle = Math.PI * this.cutoff * distance;
    const sinc = Math.abs(angle) < 1e-9 ? 1 : Math.sin(angle) / angle;
    return this.cutoff * sinc * (0.5 + 0.5 * Math.cos((Math.PI * distance) / this.reach));
  }
}
