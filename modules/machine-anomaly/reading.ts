/** What a sensor sends: one window of vibration and two temperatures. Everything in it is checked. */

export const loads = ['idle', 'half', 'full'] as const;
export type Load = (typeof loads)[number];

export interface Reading {
  readonly machine: string;
  readonly load: Load;
  /** In g, one after another at `sampleRate`. */
  readonly vibration: ArrayLike<number>;
  /** At the housing and around it, in degrees Celsius. */
  readonly temperature: number;
  readonly ambient: number;
}

/** What the model has learned from; windows of another rate have other features. */
const sampleRate = 3200;
const samples = { least: 256, most: 32_768 };

/** @throws Error with status 400 that says which field is wrong */
export function readReading(input: unknown): Reading {
  if (typeof input !== 'object' || input === null || Array.isArray(input)) {
    throw wrong('a reading is an object {machine, load, sampleRate, vibration, temperature, ambient}');
  }
  const { machine, load, vibration, ...rest } = input as Record<string, unknown>;
  if (typeof machine !== 'string' || !/^[\w.-]{1,64}$/.test(machine)) {
    throw wrong('machine must be 1 to 64 letters, digits, ".", "_" and "-"');
  }
  if (rest['sampleRate'] !== sampleRate) throw wrong(`sampleRate must be ${sampleRate}, the rate that the model knows`);
  return {
    machine,
    load: readLoad(load),
    vibration: readVibration(vibration),
    temperature: readTemperature('temperature', rest['temperature']),
    ambient: readTemperature('ambient', rest['ambient']),
  };
}

export function readLoad(load: unknown): Load {
  const known = loads.find((one) => one === load);
  if (known === undefined) throw wrong(`load must be one of ${loads.join(', ')}`);
  return known;
}

export function readVibration(values: unknown): ArrayLike<number> {
  const list = Array.isArray(values) || values instanceof Float32Array ? (values as ArrayLike<unknown>) : undefined;
  if (list === undefined || list.length < samples.least || list.length > samples.most) {
    throw wrong(`vibration must be ${samples.least} to ${samples.most} numbers`);
  }
  for (let at = 0; at < list.length; at++) {
    const value = list[at];
    if (typeof value !== 'number' || !(Math.abs(value) <= 1000)) {
      throw wrong(`vibration[${at}] must be a number of g, at most 1000`);
    }
  }
  return list as ArrayLike<number>;
}

export function readTemperature(name: string, value: unknown): number {
  if (typeof value === 'number' && value >= -100 && value <= 1000) return value;
  throw wrong(`${name} must be degrees Celsius, from -100 to 1000`);
}

export function wrong(message: string): Error {
  return Object.assign(new Error(message), { statusCode: 400 });
}
