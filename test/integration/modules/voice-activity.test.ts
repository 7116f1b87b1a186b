import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { post, repository } from '#test/support/scoring-harness.js';
import { type ServedFolder, serveFolder } from '#test/support/served-folder.js';

const folder = join(repository, 'modules/voice-activity');
const rate = 16_000;

interface Segment {
  readonly start: number;
  readonly end: number;
}
interface Answer {
  readonly seconds: number;
  readonly speaking?: boolean;
  readonly segments: readonly Segment[];
}

let served: ServedFolder;
let wav: Buffer;
/** Where the words are, from their alignment by another program. */
let sentences: Segment[];
beforeAll(async () => {
  wav = await readFile(join(folder, 'fixtures/two-sentences.wav'));
  sentences = JSON.parse(await readFile(join(folder, 'fixtures/two-sentences.json'), 'utf8')) as Segment[];
  served = await serveFolder(folder);
});
afterAll(() => served.close());

const score = async (body: unknown, headers: Record<string, string> = {}): Promise<Answer> => {
  const { status, json } = await post(`${served.url}/score/voice-activity`, body, headers);
  expect({ status, json }).toMatchObject({ status: 200 });
  return json as Answer;
};

/** Each sentence in a segment of its own, to a fifth of a second; within a sentence nothing is left out for long. */
function expectSentences(segments: readonly Segment[]): void {
  expect(segments).toHaveLength(sentences.length);
  for (const [index, { start, end }] of sentences.entries()) {
    expect(Math.abs((segments[index]?.start ?? 99) - start)).toBeLessThan(0.2);
    expect(Math.abs((segments[index]?.end ?? 99) - end)).toBeLessThan(0.2);
  }
}

/** 16-bit samples of the file. */
const pcm = (): Buffer => wav.subarray(44);

/** The same sound as a stereo file of floats at three times the rate, by the straight line between samples. */
function stereo48k(): Buffer {
  const mono = pcm();
  const count = (mono.length / 2 - 1) * 3;
  const head = Buffer.from(wav.subarray(0, 44));
  head.writeUInt16LE(3, 20);
  head.writeUInt16LE(2, 22);
  head.writeUInt32LE(3 * rate, 24);
  head.writeUInt16LE(32, 34);
  head.writeUInt32LE(count * 8, 40);
  const data = Buffer.alloc(count * 8);
  for (let at = 0; at < count; at++) {
    const [index, share] = [Math.floor(at / 3), (at % 3) / 3];
    const value = (mono.readInt16LE(2 * index) * (1 - share) + mono.readInt16LE(2 * index + 2) * share) / 32_768;
    data.writeFloatLE(1.5 * value, at * 8);
    data.writeFloatLE(0.5 * value, at * 8 + 4);
  }
  return Buffer.concat([head, data]);
}

describe('voice-activity', () => {
  it('proves itself: what the script computes is what Python computed', () => {
    expect(served.served.proved).toBe(2);
  });

  it('marks the sentences of a WAV file, and not the pause between them', async () => {
    const { seconds, segments } = await score(wav, { 'content-type': 'audio/wav' });
    expect(seconds).toBeCloseTo(pcm().length / 2 / rate, 3);
    expectSentences(segments);
  });

  it('marks the same in a stereo file of another rate and coding', async () => {
    expectSentences((await score(stereo48k(), { 'content-type': 'audio/wav' })).segments);
  });

  it('marks the same in a stream of chunks, each segment when it is over, beside another stream', async () => {
    const sound = pcm();
    const found: { readonly after: number; readonly segment: Segment }[] = [];
    const chunkBytes = 2 * 1999;
    for (let at = 0; at < sound.length; at += chunkBytes) {
      const chunk = sound.subarray(at, at + chunkBytes).toString('base64');
      const end = at + chunkBytes >= sound.length;
      const answer = await score({ stream: 'mic-1', pcm: chunk, end });
      await score({ stream: 'mic-2', pcm: Buffer.alloc(chunkBytes).toString('base64'), end });
      found.push(...answer.segments.map((segment) => ({ after: (at + chunkBytes) / 2 / rate, segment })));
    }
    expectSentences(found.map(({ segment }) => segment));
    expect(found[0]?.after).toBeLessThan((found[0]?.segment.end ?? 0) + 0.5);
  });

  it('takes bare PCM bytes of the stream that a header names, and says whether somebody speaks', async () => {
    const headers = { 'content-type': 'application/octet-stream', 'x-stream': 'line-4' };
    const sentence = pcm().subarray(0, 2 * rate);
    expect(await score(sentence, headers)).toMatchObject({ speaking: true, segments: [] });
    expect(await score({ stream: 'line-4', end: true })).toMatchObject({
      speaking: false,
      segments: [{ start: expect.closeTo(0.226, 1) as number, end: expect.any(Number) as number }],
    });
  });

  it('hears nobody in the hum and noise of a machine', async () => {
    let state = 1;
    const noise = (): number => {
      state = (state * 48_271) % 2_147_483_647;
      return (state / 2_147_483_647 - 0.5) * 4000;
    };
    const hum = Buffer.alloc(2 * 3 * rate);
    for (let at = 0; at < hum.length / 2; at++) {
      hum.writeInt16LE(Math.round(noise() + 3000 * Math.sin((2 * Math.PI * 50 * at) / rate)), 2 * at);
    }
    expect(await score({ stream: 'hum', pcm: hum.toString('base64'), end: true })).toMatchObject({ segments: [] });
  });

  it.each([
    ['half a WAV file', () => wav.subarray(0, 5000), 'audio/wav', /cut short/],
    ['an odd number of bytes', () => Uint8Array.of(1, 2, 3), 'application/octet-stream', /two bytes|name the stream/],
    ['JSON without a stream', () => '{"pcm":""}', 'application/json', /name the stream/],
    ['PCM that is no base64', () => '{"stream":"a","pcm":"??=="}', 'application/json', /base64/],
    ['a sample rate that is none', () => '{"stream":"b","sampleRate":1}', 'application/json', /samples a second/],
    ['an empty body of sound', () => new Uint8Array(0), 'audio/wav', /name the stream/],
  ])('refuses %s with status 400 and goes on', async (_what, body, type, reason) => {
    expect(await post(`${served.url}/score/voice-activity`, body(), { 'content-type': type })).toMatchObject({
      status: 400,
      json: { message: expect.stringMatching(reason) as string },
    });
  });
});

it('a setting that is none keeps it from starting, with the reason', async () => {
  await expect(serveFolder(folder, { treshold: 0.4 })).rejects.toThrow(/no setting "treshold"/);
});
