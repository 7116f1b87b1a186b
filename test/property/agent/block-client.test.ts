import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BlockClient, defaultBlockOptions } from '#agent/link/block-client.js';
import { sha256Hex } from '#shared/package/digest.js';
import { systemClock } from '#shared/kernel/clock.js';
import { type BlocksRequest, encodeFrame } from '#shared/protocol/blocks.js';

const digest = `sha256:${'0'.repeat(64)}`;
const fate = fc.constantFrom(
  'good',
  'good',
  'good',
  'lost',
  'twice',
  'damaged',
  'short',
  'elsewhere',
  'garbage',
  'busy',
);

describe('the block client', () => {
  it('hands on each chunk once and right, and never has more under way than its window, whatever comes', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 600 }), { minLength: 1, maxLength: 30 }),
        fc.array(fate, { maxLength: 40 }),
        fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 5 }),
        async (lengths, fates, noise) => {
          const windowBytes = 1000;
          let offset = 0;
          const chunks = lengths.map((length, index) => {
            const bytes = new Uint8Array(length).fill(index + 1);
            const chunk = { index, offset, length, sha256: sha256Hex(bytes), bytes };
            offset += length;
            return chunk;
          });
          let session = -1;
          let sent = 0;
          let widest = 0;
          let claimed = 0;
          const damagedOnce = new Set<number>();
          const client: BlockClient = new BlockClient(
            { clock: systemClock, firstId: 0xffff_fffe, publish: (request) => setImmediate(() => answer(request)) },
            { ...defaultBlockOptions, windowBytes, requestBytes: 300, stallMs: 10, maxStallMs: 10, busyPauseMs: 2 },
          );
          const answer = (request: BlocksRequest): void => {
            if (request.session !== session) {
              session = request.session;
              sent = 0;
            }
            claimed = Math.max(claimed, request.acknowledged - sent);
            for (const index of request.indexes) {
              const chunk = chunks[index];
              if (chunk === undefined) throw new Error('asked for what is not there');
              const frame = {
                request: request.request,
                status: 'ok' as const,
                index,
                offset: chunk.offset,
                total: 0,
                bytes: chunk.bytes,
              };
              let now = fates.shift() ?? 'good';
              // More than twice is damage at the source, which is another test.
              const spoils = ['damaged', 'short', 'elsewhere'].includes(now);
              if (spoils && damagedOnce.has(index)) now = 'good';
              if (spoils) damagedOnce.add(index);
              // As the control plane counts: what it puts on the wire, lost or not.
              sent += now === 'busy' ? 0 : now === 'short' ? chunk.length - 1 : chunk.length;
              widest = Math.max(widest, sent - request.acknowledged);
              const flipped = Uint8Array.from(chunk.bytes, (byte) => byte ^ 0xff);
              if (now === 'good' || now === 'twice') client.receive(encodeFrame(frame));
              if (now === 'twice') client.receive(encodeFrame(frame));
              if (now === 'damaged') client.receive(encodeFrame({ ...frame, bytes: flipped }));
              if (now === 'short') client.receive(encodeFrame({ ...frame, bytes: chunk.bytes.subarray(1) }));
              if (now === 'elsewhere') client.receive(encodeFrame({ ...frame, offset: chunk.offset + 1 }));
              if (now === 'garbage') for (const bytes of noise) client.receive(bytes);
              if (now === 'busy') client.receive(encodeFrame({ ...frame, status: 'busy', bytes: new Uint8Array() }));
            }
          };
          client.linkChanged(true);
          const got = new Map<number, Uint8Array>();
          await client.fetch(
            { kind: 'chunks', map: digest },
            chunks,
            async (chunk, bytes) => {
              expect(got.has(chunk.index)).toBe(false);
              got.set(chunk.index, bytes);
            },
            new AbortController().signal,
          );
          // Nothing is acknowledged that was not sent.
          expect(claimed).toBe(0);
          expect(widest).toBeLessThanOrEqual(windowBytes);
          expect(
            chunks.every(({ index, bytes }) => Buffer.compare(got.get(index) ?? new Uint8Array(), bytes) === 0),
          ).toBe(true);
        },
      ),
      { numRuns: 60 },
    );
  });
});
