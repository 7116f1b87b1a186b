/** What the model is asked about a window of vibration; `train/simulate.py` computes the same. */

export interface Features {
  /** Root mean square of the acceleration without its mean, in g. */
  readonly rms: number;
  /** The largest of it over the root mean square: about 1.4 for a sine, more with impacts. */
  readonly crest: number;
  /** 1.5 for a sine, 3 for noise, more with impacts. */
  readonly kurtosis: number;
  /** Root mean square of the steps from sample to sample, over that of the samples: high frequencies. */
  readonly roughness: number;
  /** Temperature above the surroundings, in kelvin. */
  readonly rise: number;
}

/** A sensor that gives the same value all the time is broken or not mounted: such a window has no features. */
export function featuresOf(vibration: ArrayLike<number>, rise: number): Features | undefined {
  const count = vibration.length;
  let mean = 0;
  for (let at = 0; at < count; at++) mean += (vibration[at] ?? 0) / count;
  let squares = 0;
  let fourths = 0;
  let largest = 0;
  let steps = 0;
  let previous: number | undefined;
  for (let at = 0; at < count; at++) {
    const value = (vibration[at] ?? 0) - mean;
    squares += value ** 2 / count;
    fourths += value ** 4 / count;
    largest = Math.max(largest, Math.abs(value));
    if (previous !== undefined) steps += (value - previous) ** 2 / (count - 1);
    previous = value;
  }
  const rms = Math.sqrt(squares);
  if (rms < 1e-6) return undefined;
  return { rms, crest: largest / rms, kurtosis: fourths / rms ** 4, roughness: Math.sqrt(steps) / rms, rise };
}
