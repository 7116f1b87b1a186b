/**
 * A real scoring host under requests that no client should send, while good clients go on asking. Each
 * hostile request is answered or closed, in whole responses, and never with anything of another's; the
 * good answers are the right ones; the process is the same one afterwards and its memory bounded.
 *
 * `FLOTILLA_FUZZ_RUNS` sets how many rounds (of eight hostile requests at once), `FLOTILLA_FUZZ_SEED` which.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type HostileRequest, hostileRequest, withMarker } from '#test/support/hostile-requests.js';
import { identityModel } from '#test/support/onnx-writer.js';
import { readResponses, sendRaw } from '#test/support/raw-http.js';
import { hostedModule, post, Scoring } from '#test/support/scoring-harness.js';
import { serveScript, type ServedScript } from '#test/support/script-module.js';
import { savedRequests } from './hostile-traffic-saved.js';

const rounds = Number(process.env['FLOTILLA_FUZZ_RUNS'] ?? '120');
const seed = Number(process.env['FLOTILLA_FUZZ_SEED'] ?? '5');
const atOnce = 8;
/** Far above what any answer takes: what is open after this long hangs. */
const patienceMs = 20_000;
const allowedGrowthBytes = 400 * 1024 * 1024;

const scoring = new Scoring();
let served: ServedScript;
let rssBefore = 0;
let sent = 0;

beforeAll(async () => {
  const folder = await scoring.folder();
  const types = { floats: 1, texts: 8, flags: 9 };
  for (const [name, type] of Object.entries(types)) {
    await writeFile(join(folder, `${name}.onnx`), identityModel(type, ['rows', 'columns']));
  }
  served = await serveScript(scoring, {
    name: 'echo',
    source: 'export const run = (given) => ({ given });',
    others: Object.keys(types).map((name) => hostedModule(folder, `${name}.onnx`, { name })),
    config: { maxBodyBytes: 1024 * 1024 },
  });
  for (let count = 0; count < 200; count++) await askWell(count);
  rssBefore = (await served.host.stats()).rssBytes;
});
afterAll(() => scoring.end());

const isMarker = /mark\d{7}/g;
const nextMarker = (): string => `mark${String(sent++).padStart(7, '0')}`;

/** A request with a content of its own, whose answer must be its own. */
async function askWell(number: number): Promise<void> {
  const id = `good-${String(number)}`;
  const data = [number, number + 0.5];
  const inputs = [{ name: 'x', shape: [1, 2], datatype: 'FP32', data }];
  const headers = { 'x-request-id': id };
  const byModel = await post(`${served.url}/v2/models/floats/infer`, { id, inputs }, headers);
  expect(byModel.json).toMatchObject({ id, outputs: [{ name: 'y', data }] });
  expect(byModel.headers.get('x-request-id')).toBe(id);
  const byScript = await post(`${served.url}/score/echo`, { id, data }, headers);
  expect(byScript.json).toEqual({ given: { id, data } });
  expect(byScript.headers.get('x-request-id')).toBe(id);
}

async function sendHostile(request: HostileRequest): Promise<void> {
  const marker = nextMarker();
  const { received, closed } = await sendRaw(served.port, withMarker(request, marker), patienceMs);
  expect(closed, `${request.what}: the connection hangs`).toBe(true);
  const foreign = (received.toString('latin1').match(isMarker) ?? []).filter((found) => found !== marker);
  expect(foreign, `${request.what}: answered with what another sent`).toEqual([]);
  expect(received.includes('good-'), `${request.what}: answered with what a good client sent`).toBe(false);
  // Who leaves early has no claim to whole answers.
  if (request.disconnect) return;
  for (const { status, headers, body } of answersOf(received, request)) {
    const said = body.toString();
    // The script gives back whatever it got, as deep as JSON can be read and not written.
    if (said.includes('the script returned what JSON cannot carry')) continue;
    expect(status, `${request.what}: ${said}`).not.toBe(500);
    if (status < 400 || !headers['content-type']?.includes('json') || body.length === 0) continue;
    const { error, message } = JSON.parse(said) as { error?: unknown; message?: unknown };
    expect(error ?? message, `${request.what}: ${said}`).toMatch(/\S/);
  }
}

/** An answer to HEAD has a length and no body, which only its sender can tell. */
function answersOf(received: Buffer, request: HostileRequest): ReturnType<typeof readResponses> {
  if (Buffer.concat(request.chunks).includes('HEAD /')) return [];
  try {
    return readResponses(received);
  } catch (error) {
    throw new Error(`${request.what}: answered with what is no response: ${String(error)}`, { cause: error });
  }
}

async function storm(requests: readonly HostileRequest[], number: number): Promise<void> {
  const good = Array.from({ length: 4 }, (_, index) => askWell(number + index));
  await Promise.all([...requests.map(sendHostile), ...good]);
}

describe('a scoring host under hostile requests', () => {
  it('answers or closes each, and answers good clients meanwhile', { timeout: 3_600_000 }, async () => {
    const pids = [served.host.pid, served.script.pid];
    let number = 1000;
    for (const saved of savedRequests) {
      number += 10;
      await storm([saved], number);
    }
    await fc.assert(
      fc.asyncProperty(fc.array(hostileRequest, { minLength: atOnce, maxLength: atOnce }), async (requests) => {
        number += 10;
        await storm(requests, number);
      }),
      { numRuns: rounds, seed, endOnFailure: process.env['FLOTILLA_FUZZ_SHRINK'] === undefined },
    );
    await askWell(number);
    expect([served.host.pid, served.script.pid]).toEqual(pids);
    expect(scoring.lines.filter((line) => line.includes('"level":"fatal"'))).toEqual([]);
    const grown = (await served.host.stats()).rssBytes - rssBefore;
    expect(grown).toBeLessThan(allowedGrowthBytes);
    console.log(`${String(sent)} hostile requests; memory of the host grew by ${String(Math.round(grown / 1e6))} MB`);
  });
});
