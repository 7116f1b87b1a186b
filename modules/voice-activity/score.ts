/** A recording at once, or a stream in chunks, to where somebody speaks. */
import { Listener, type VadModel } from './listener.js';
import type { Segment, SegmentRules } from './segments.js';
import { Streams } from './streams.js';
import { isWav, readPcm, readWav, type Sound, wrong } from './wav.js';

interface InitContext {
  readonly models: { readonly vad: VadModel };
  readonly log: { warn(details: object, message: string): void };
}

interface Context extends InitContext {
  /** What a route took it from, a topic or the name of a file; absent in requests over HTTP. */
  readonly source?: string | undefined;
  readonly emit?: (output: 'speech', value: object) => void;
  readonly request?: { readonly headers: Readonly<Record<string, unknown>> };
}

const defaults = { threshold: 0.5, minSpeechMs: 250, minSilenceMs: 100, padMs: 30, sampleRate: 16_000, maxStreams: 64 };
let settings: typeof defaults = defaults;
let streams: Streams;

/** Settings are numbers with the names of `defaults`; `sampleRate` is that of PCM which does not say its own. */
export function init(given: Readonly<Record<string, unknown>>, context: InitContext): void {
  for (const [name, value] of Object.entries(given)) {
    if (!Object.hasOwn(defaults, name)) {
      throw new Error(`there is no setting "${name}"; there are ${Object.keys(defaults).join(', ')}`);
    }
    if (typeof value !== 'number' || !(value >= 0)) throw new Error(`the setting "${name}" must be a number from 0`);
  }
  settings = { ...defaults, ...given };
  const forgotten = (stream: string): void =>
    context.log.warn({ stream }, 'too many streams: one that was silent for longest is forgotten');
  streams = new Streams(Math.max(1, settings.maxStreams), (rate) => newListener(rate, context.models.vad), forgotten);
}

export async function run(input: unknown, context: Context): Promise<object> {
  const tensor = audioTensor(input);
  if (tensor !== undefined) return likelihoods(tensor, context.models.vad);
  if (input instanceof Uint8Array && isWav(input)) return wholeRecording(readWav(input), context);
  const { stream, sound, isLast } = readChunk(input, context);
  const heard = await streams.push(stream, sound, isLast);
  const segments = heard.segments.map(rounded);
  for (const segment of segments) context.emit?.('speech', { stream, ...segment });
  return { ...heard, seconds: milliseconds(heard.seconds), segments };
}

async function wholeRecording({ samples, sampleRate }: Sound, context: Context): Promise<object> {
  const listener = newListener(sampleRate, context.models.vad);
  const segments = [...(await listener.push(samples)), ...(await listener.finish())].map(rounded);
  const origin = context.source === undefined ? {} : { recording: context.source };
  for (const segment of segments) context.emit?.('speech', { ...origin, ...segment });
  return { seconds: milliseconds(samples.length / sampleRate), sampleRate, segments };
}

interface Chunk {
  readonly stream: string;
  readonly sound: Sound;
  readonly isLast: boolean;
}

/** Bytes are of the stream that the header `x-stream` names, or else the topic that they came from. */
function readChunk(input: unknown, context: Context): Chunk {
  if (input instanceof Uint8Array) {
    const header = context.request?.headers['x-stream'];
    const stream = readName(header ?? context.source);
    return { stream, sound: readPcm(input, settings.sampleRate), isLast: false };
  }
  if (typeof input !== 'object' || input === null) {
    throw wrong('send a WAV file, PCM bytes with the header x-stream, or {stream, pcm: base64, sampleRate, end}');
  }
  const { stream, pcm = '', sampleRate = settings.sampleRate, end = false } = input as Record<string, unknown>;
  if (typeof pcm !== 'string' || pcm.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(pcm)) {
    throw wrong('pcm must be base64 of 16-bit little-endian samples of one channel');
  }
  if (typeof sampleRate !== 'number') throw wrong('sampleRate must be a number');
  if (typeof end !== 'boolean') throw wrong('end must be true or false');
  return { stream: readName(stream), sound: readPcm(Buffer.from(pcm, 'base64'), sampleRate), isLast: end };
}

function readName(stream: unknown): string {
  if (typeof stream === 'string' && /^[\w./-]{1,128}$/.test(stream)) return stream;
  throw wrong('name the stream, by {"stream": …} or the header x-stream: 1 to 128 letters, digits, ".", "_", "-", "/"');
}

/** A V2 request, as golden vectors are: 16-bit samples at 16,000 Hz in, one likelihood for each whole frame out. */
async function likelihoods(samples: Float32Array, model: VadModel): Promise<object> {
  const out: number[] = [];
  await new Listener(16_000, settings, model, (likelihood) => out.push(likelihood)).push(samples);
  return { outputs: [{ name: 'likelihood', datatype: 'FP32', shape: [out.length], data: out }] };
}

function audioTensor(input: unknown): Float32Array | undefined {
  const inputs: unknown = typeof input === 'object' && input !== null ? Reflect.get(input, 'inputs') : undefined;
  if (!Array.isArray(inputs)) return undefined;
  const audio = (inputs as { name: string; datatype: string; data: ArrayLike<number> }[]).find(
    ({ name, datatype }) => name === 'audio' && datatype === 'INT16',
  );
  if (audio === undefined) throw wrong('the input is "audio", INT16 samples at 16,000 Hz');
  return Float32Array.from(audio.data, (value) => value / 32_768);
}

function newListener(sampleRate: number, model: VadModel): Listener {
  const rules: SegmentRules = settings;
  return new Listener(sampleRate, rules, model);
}

function rounded({ start, end }: Segment): Segment {
  return { start: milliseconds(start), end: milliseconds(end) };
}

/** Seconds, in whole milliseconds. */
function milliseconds(seconds: number): number {
  return Math.round(seconds * 1000) / 1000;
}
