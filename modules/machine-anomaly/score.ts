/** Readings of a sensor to features, the model's score of them, and an alarm where several in a row are bad. */
import { Alarms } from './alarms.js';
import { type Features, featuresOf } from './features.js';
import normal from './normal.json' with { type: 'json' };
import { type Load, type Reading, readLoad, readReading, readTemperature, readVibration, wrong } from './reading.js';

type Column<Datatype extends string, Value> = { datatype: Datatype; shape: [1, 1]; data: Value };

interface Context {
  readonly models: {
    readonly anomaly: {
      infer(
        inputs: Record<keyof Features, Column<'FP32', Float32Array>> & { load: Column<'BYTES', string[]> },
      ): Promise<{ readonly scores: { readonly data: ArrayLike<number> } }>;
    };
  };
  /** Absent in requests to a host without routes. */
  readonly emit?: (output: 'alarms', value: object) => void;
}

interface Tensors {
  readonly inputs: readonly { readonly name: string; readonly data: ArrayLike<unknown> }[];
}

let threshold = normal.threshold;
let alarms = new Alarms(3);

/** `threshold`: a score below it is an anomaly. `inARow`: as many windows raise an alarm, and clear it. */
export function init(settings: { readonly threshold?: unknown; readonly inARow?: unknown }): void {
  const { threshold: limit = normal.threshold, inARow = 3 } = settings;
  if (typeof limit !== 'number') throw new Error('the setting "threshold" must be a number');
  if (typeof inARow !== 'number' || !Number.isInteger(inARow) || inARow < 1) {
    throw new Error('the setting "inARow" must be an integer from 1');
  }
  threshold = limit;
  alarms = new Alarms(inARow);
}

export async function run(input: unknown, context: Context): Promise<object> {
  if (isTensors(input)) return scoreTensors(input, context);
  const reading = readReading(input);
  const features = readFeatures(reading);
  const score = await scoreOf(reading.load, features, context);
  const anomaly = score < threshold;
  const because = anomaly ? unusual(reading.load, features) : [];
  const change = alarms.judge(reading.machine, anomaly);
  if (change !== undefined) {
    context.emit?.('alarms', { alarm: 'machine-anomaly', machine: reading.machine, state: change, score, because });
  }
  const alarm = alarms.isRaised(reading.machine) ? 'raised' : 'none';
  return { machine: reading.machine, score, anomaly, because, alarm, ...(change && { change }), features };
}

/** A V2 request, as golden vectors are: what comes in raw, only the score out; no alarm is touched. */
async function scoreTensors({ inputs }: Tensors, context: Context): Promise<object> {
  const given = (name: string): ArrayLike<unknown> => {
    const data = inputs.find((one) => one.name === name)?.data;
    if (data === undefined) throw wrong(`there is no input "${name}": load, vibration, temperature, ambient`);
    return data;
  };
  const load = readLoad(given('load')[0]);
  const features = readFeatures({
    vibration: readVibration(given('vibration')),
    temperature: readTemperature('temperature', given('temperature')[0]),
    ambient: readTemperature('ambient', given('ambient')[0]),
  });
  const score = await scoreOf(load, features, context);
  return { outputs: [{ name: 'score', datatype: 'FP32', shape: [1], data: [score] }] };
}

function readFeatures({ vibration, temperature, ambient }: Omit<Reading, 'machine' | 'load'>): Features {
  const features = featuresOf(vibration, temperature - ambient);
  if (features === undefined) throw wrong('vibration is the same all the time: the sensor is broken or not mounted');
  return features;
}

async function scoreOf(load: Load, features: Features, context: Context): Promise<number> {
  const column = (value: number): Column<'FP32', Float32Array> => ({
    datatype: 'FP32',
    shape: [1, 1],
    data: Float32Array.of(value),
  });
  const { scores } = await context.models.anomaly.infer({
    load: { datatype: 'BYTES', shape: [1, 1], data: [load] },
    rms: column(features.rms),
    crest: column(features.crest),
    kurtosis: column(features.kurtosis),
    roughness: column(features.roughness),
    rise: column(features.rise),
  });
  return scores.data[0] ?? Number.NaN;
}

/** Which features are not what 99 of 100 windows of that load have, for the person who goes to look. */
function unusual(load: Load, features: Features): { feature: string; value: number; usual: number[] }[] {
  const limits: Record<keyof Features, number[]> = normal.usual[load];
  return (Object.entries(limits) as [keyof Features, number[]][])
    .map(([feature, usual]) => ({ feature, value: features[feature], usual }))
    .filter(({ value, usual: [least = 0, most = 0] }) => value < least || value > most);
}

function isTensors(input: unknown): input is Tensors {
  return typeof input === 'object' && input !== null && Array.isArray(Reflect.get(input, 'inputs'));
}
