/** Sound as it comes, WAV files and chunks of PCM, to samples from -1 to 1 of one channel. */

export interface Sound {
  /** One channel: the mean of all there are. */
  readonly samples: Float32Array;
  /** Samples a second. */
  readonly sampleRate: number;
}

const rates = { least: 8000, most: 192_000 };
const maxChannels = 16;
const formats = { pcm: 1, float: 3, extensible: 0xfffe };

export function isWav(bytes: Uint8Array): boolean {
  return bytes.length >= 4 && Buffer.from(bytes.buffer, bytes.byteOffset, 4).toString('latin1') === 'RIFF';
}

/** @throws Error with status 400 that says what is wrong with the file */
export function readWav(bytes: Uint8Array): Sound {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (file.length < 12 || file.toString('latin1', 0, 4) !== 'RIFF' || file.toString('latin1', 8, 12) !== 'WAVE') {
    throw wrong('this is no WAV file: it does not begin with RIFF and WAVE');
  }
  let format: Format | undefined;
  for (let at = 12; at + 8 <= file.length; ) {
    const name = file.toString('latin1', at, at + 4);
    const size = file.readUInt32LE(at + 4);
    const start = at + 8;
    if (name === 'fmt ') format = readFormat(file.subarray(start, start + size));
    if (name === 'data') {
      if (format === undefined) throw wrong('the WAV file has its data before its format');
      return { samples: mix(dataOf(file, start, size), format), sampleRate: checkRate(format.sampleRate) };
    }
    at = start + size + (size % 2);
  }
  throw wrong('the WAV file has no data: is it still being written?');
}

/** Little-endian, 16 bit, one channel. @throws Error with status 400 */
export function readPcm(bytes: Uint8Array, sampleRate: number): Sound {
  if (bytes.length % 2 !== 0) throw wrong(`PCM has two bytes a sample, and ${bytes.length} bytes came`);
  const data = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const samples = new Float32Array(bytes.length / 2);
  for (let at = 0; at < samples.length; at++) samples[at] = data.readInt16LE(2 * at) / 32_768;
  return { samples, sampleRate: checkRate(sampleRate) };
}

export function wrong(message: string): Error {
  return Object.assign(new Error(message), { statusCode: 400 });
}

interface Format {
  readonly isFloat: boolean;
  readonly channels: number;
  readonly sampleRate: number;
  readonly bits: number;
}

function readFormat(chunk: Buffer): Format {
  if (chunk.length < 16) throw wrong('the WAV file has a format that is cut short');
  const tag = chunk.readUInt16LE(0);
  const coding = tag === formats.extensible && chunk.length >= 26 ? chunk.readUInt16LE(24) : tag;
  const channels = chunk.readUInt16LE(2);
  const bits = chunk.readUInt16LE(14);
  const known = coding === formats.pcm ? [8, 16, 24, 32] : coding === formats.float ? [32] : [];
  if (!known.includes(bits)) {
    throw wrong(
      `the WAV file has ${bits} bits of coding ${coding}; PCM of 8, 16, 24, 32 bits or 32-bit floats are read`,
    );
  }
  if (channels < 1 || channels > maxChannels) throw wrong(`the WAV file has ${channels} channels, 1 to ${maxChannels}`);
  return { isFloat: coding === formats.float, channels, sampleRate: chunk.readUInt32LE(4), bits };
}

/** Who writes a file as it is recorded cannot know its size: 0 and the largest number stand for the rest. */
function dataOf(file: Buffer, start: number, size: number): Buffer {
  if (size === 0 || size === 0xffffffff) return file.subarray(start);
  if (start + size > file.length) {
    throw wrong(
      `the WAV file is cut short: ${file.length - start} of ${size} bytes of sound: is it still being written?`,
    );
  }
  return file.subarray(start, start + size);
}

function mix(data: Buffer, { isFloat, channels, bits }: Format): Float32Array {
  const bytes = bits / 8;
  const samples = new Float32Array(Math.floor(data.length / (bytes * channels)));
  for (let at = 0; at < samples.length; at++) {
    let sum = 0;
    for (let channel = 0; channel < channels; channel++) {
      const place = (at * channels + channel) * bytes;
      if (isFloat) sum += data.readFloatLE(place);
      else if (bits === 8) sum += (data.readUInt8(place) - 128) / 128;
      else sum += data.readIntLE(place, bytes) / 2 ** (bits - 1);
    }
    const mean = sum / channels;
    if (!Number.isFinite(mean)) throw wrong(`sample ${at} of the WAV file is no number`);
    samples[at] = Math.max(-1, Math.min(1, mean));
  }
  return samples;
}

function checkRate(rate: number): number {
  if (Number.isInteger(rate) && rate >= rates.least && rate <= rates.most) return rate;
  throw wrong(`${rate} samples a second; from ${rates.least} to ${rates.most} are read`);
}
