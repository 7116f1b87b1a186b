/**
 * A real gRPC face under bytes that are no calls, frames that are no messages, and messages that are cut or
 * changed: each call is answered with a status or closed, and good calls go on in the same process. A raw
 * connection is left by us: HTTP/2 lets a server keep one that is half closed.
 * `FLOTILLA_FUZZ_RUNS` and `FLOTILLA_FUZZ_SEED` as for `hostile-traffic.test.ts`.
 */
import { connect, type ClientHttp2Session } from 'node:http2';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ScoringHostProcess } from '#shared/supervisor/scoring-host-process.js';
import { GrpcClient } from '#test/support/grpc-client.js';
import { sendRaw } from '#test/support/raw-http.js';
import { fixtures, hostedModule, Scoring } from '#test/support/scoring-harness.js';

const numRuns = Number(process.env['FLOTILLA_FUZZ_RUNS'] ?? '300');
const seed = Number(process.env['FLOTILLA_FUZZ_SEED'] ?? '5');
const patienceMs = 20_000;

const scoring = new Scoring();
let host: ScoringHostProcess;
let address = '';
let client: GrpcClient;
beforeAll(async () => {
  const module = hostedModule(fixtures, 'add-one.onnx', { name: 'add-one' });
  ({ host, address } = await scoring.serveGrpc([module]));
  client = new GrpcClient(address);
});
afterAll(async () => {
  client.close();
  await scoring.end();
});

const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
const settings = Buffer.from('000000040000000000', 'hex');

/** A frame of HTTP/2 whose parts need not go together. */
const frame = fc
  .record({
    type: fc.integer({ min: 0, max: 12 }),
    flags: fc.integer({ min: 0, max: 255 }),
    stream: fc.constantFrom(0, 1, 3, 2 ** 31 - 1),
    payload: fc.uint8Array({ maxLength: 64 }),
    off: fc.constantFrom(0, 0, 0, 1, 1000, 100_000),
  })
  .map(({ type, flags, stream, payload, off }) => {
    const head = Buffer.alloc(9);
    head.writeUIntBE(payload.length + off, 0, 3);
    head.writeUInt8(type, 3);
    head.writeUInt8(flags, 4);
    head.writeUInt32BE(stream, 5);
    return Buffer.concat([head, payload]);
  });

const connectionBytes = fc.oneof(
  fc.uint8Array({ minLength: 1, maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
  fc.array(frame, { minLength: 1, maxLength: 6 }).map((frames) => Buffer.concat([preface, settings, ...frames])),
  fc.constant(Buffer.from('GET / HTTP/1.1\r\nhost: a\r\n\r\n')),
);

/** Messages with the five bytes before them, right or wrong. */
const message = fc
  .record({
    compressed: fc.constantFrom(0, 0, 0, 1, 7),
    off: fc.constantFrom(0, 0, 0, 1, -1, 2 ** 31),
    payload: fc.uint8Array({ maxLength: 100 }),
  })
  .map(({ compressed, off, payload }) => {
    const head = Buffer.alloc(5);
    head.writeUInt8(compressed, 0);
    head.writeUInt32BE(Math.max(0, payload.length + off), 1);
    return Buffer.concat([head, payload]);
  });

const methods = ['ModelInfer', 'ModelStreamInfer', 'ModelMetadata', 'RepositoryModelLoad', 'ServerLive', 'Nothing'];

/** The status of the call; `closed` where there is none. */
function call(session: ClientHttp2Session, method: string, bytes: Buffer): Promise<string> {
  return new Promise((resolve) => {
    const stream = session.request({
      ':method': 'POST',
      ':path': `/inference.GRPCInferenceService/${method}`,
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    let status = 'closed';
    const take = (fields: object): void => {
      const given: unknown = Reflect.get(fields, 'grpc-status');
      if (typeof given === 'string') status = given;
    };
    stream.on('response', take);
    stream.on('trailers', take);
    stream.on('error', () => undefined);
    stream.setTimeout(patienceMs, () => resolve('hangs'));
    stream.on('close', () => resolve(status));
    stream.resume();
    stream.end(bytes);
  });
}

describe('the gRPC face under hostile bytes', () => {
  it('answers or closes each, and goes on', { timeout: 3_600_000 }, async () => {
    const { pid } = host;
    const port = Number(address.split(':')[1]);
    await fc.assert(
      fc.asyncProperty(
        fc.array(connectionBytes, { minLength: 4, maxLength: 4 }),
        fc.array(fc.tuple(fc.constantFrom(...methods), message), { minLength: 4, maxLength: 4 }),
        async (connections, calls) => {
          const raw = connections.map((bytes) => sendRaw(port, { chunks: [bytes], disconnect: true }, patienceMs));
          const session = connect(`http://${address}`);
          session.on('error', () => undefined);
          const statuses = await Promise.all(calls.map(([method, bytes]) => call(session, method, bytes)));
          session.destroy();
          for (const status of statuses) expect(status).not.toBe('hangs');
          await Promise.all(raw);
          expect(await client.call('ServerLive')).toMatchObject({ answer: { live: true } });
        },
      ),
      { numRuns, seed, endOnFailure: true },
    );
    expect(host.pid).toBe(pid);
    expect((await host.stats()).rssBytes).toBeLessThan(1024 ** 3);
  });
});
