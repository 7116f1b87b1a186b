import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { collections } from '#shared/protocol/collect.js';
import { bodyLine, tensorLine } from '#shared/scoring/collect/collected-line.js';
import { wholeLines } from '#shared/scoring/collect/piece-folder.js';
import type { EventHead } from '#shared/scoring/traffic/capture/cloud-event.js';
import { pieceFileOf, readPieceFile } from '#shared/scoring/collect/piece-name.js';
import { redactJson } from '#shared/scoring/collect/redact-json.js';

const secret = 'a-secret-that-nobody-else-says';
const names = ['iban', 'pin', '__proto__'] as const;
const head: EventHead = {
  ...{ id: 'i', atMs: 0, side: 'inputs', model: 'm', version: 1, digest: `sha256:${'0'.repeat(64)}` },
  ...{ requestId: 'r', source: '/s' },
};

/** JSON with a secret below a field, or in a tensor, of one of the names. */
const { tree } = fc.letrec<{ tree: unknown; hiding: unknown }>((tie) => ({
  hiding: fc.oneof(fc.constant(secret), fc.array(fc.constant(secret)), fc.constant({ deep: [secret] })),
  tree: fc.oneof(
    { maxDepth: 4 },
    fc.integer(),
    fc.string({ maxLength: 8 }),
    fc.array(tie('tree'), { maxLength: 4 }),
    fc.dictionary(fc.string({ maxLength: 6 }), tie('tree'), { maxKeys: 4 }),
    fc
      .tuple(fc.constantFrom(...names), tie('hiding'), tie('tree'))
      .map(
        ([name, hidden, other]) =>
          JSON.parse(`{"other":${JSON.stringify(other)},"${name}":${JSON.stringify(hidden)}}`) as unknown,
      ),
    fc.tuple(fc.constantFrom(...names), tie('hiding')).map(([name, data]) => ({ name, datatype: 'BYTES', data })),
  ),
}));

describe('what is collected', () => {
  it('never holds what a name leaves out, wherever it stands, and all else as it was', () => {
    fc.assert(
      fc.property(tree, (value) => {
        const redacted = redactJson(value, new Set<string>(names));
        expect(JSON.stringify(redacted) ?? '').not.toContain(secret);
        expect(JSON.stringify(redactJson(value, new Set()))).toBe(JSON.stringify(value));
      }),
      { numRuns: 200 },
    );
  });

  it('is never longer than its bound, holds no secret, and is a line of JSON, for whatever bytes', () => {
    const bodies = fc.oneof(
      fc.uint8Array({ maxLength: 3000 }),
      tree.map((value) => Buffer.from(JSON.stringify(value))),
    );
    fc.assert(
      fc.property(bodies, fc.integer({ min: 1024, max: 4000 }), (text, maxBytes) => {
        const body = { bytes: text.length, digest: 'sha256:x', text };
        const line = bodyLine(head, body, new Set<string>(names), maxBytes) ?? '{}\n';
        expect(Buffer.byteLength(line)).toBeLessThanOrEqual(maxBytes);
        expect(line).not.toContain('sha256:x');
        expect(wholeLines(Buffer.from(line))).toEqual([line.slice(0, -1)]);
        if (!Buffer.from(text).includes('\\')) expect(line.includes(secret)).toBe(false);
        const tensors = [{ name: 'x', data: Array.from(text) }];
        expect(Buffer.byteLength(tensorLine(head, tensors, maxBytes) ?? '')).toBeLessThanOrEqual(maxBytes);
      }),
      { numRuns: 100 },
    );
  });

  it('lies in files whose names say what they hold; no other text is such a name', () => {
    const name = fc.record({
      beginMs: fc.integer({ min: 0, max: 4_102_444_800_000 }),
      collection: fc.constantFrom(...collections),
      module: fc.stringMatching(/^[a-z0-9][a-z0-9-]{0,62}$/),
      instance: fc.stringMatching(/^[a-z0-9-]{1,64}$/),
      number: fc.nat(99_999_999),
    });
    fc.assert(
      fc.property(name, fc.string(), fc.nat(120), (piece, junk, at) => {
        const file = pieceFileOf(piece);
        expect(readPieceFile(file)).toEqual({ ...piece, open: false });
        const other = file.slice(0, at) + junk + file.slice(at + 1);
        const read = readPieceFile(other);
        if (read !== undefined) expect(pieceFileOf(read) + (read.open ? '.open' : '')).toBe(other);
        expect(other.includes('/') && read !== undefined).toBe(false);
      }),
      { numRuns: 200 },
    );
  });

  it('is read as its whole lines whatever a kill or a disk left', () => {
    const lines = fc.array(
      fc.dictionary(fc.string(), fc.jsonValue(), { maxKeys: 3 }).map((one) => JSON.stringify(one)),
      { maxLength: 6 },
    );
    fc.assert(
      fc.property(lines, fc.nat(), fc.uint8Array({ maxLength: 20 }), (whole, cut, junk) => {
        const bytes = Buffer.from(whole.map((line) => `${line}\n`).join(''));
        const torn = bytes.subarray(0, cut % (bytes.length + 1));
        expect(whole.slice(0, wholeLines(torn).length)).toEqual(wholeLines(torn));
        expect(() => wholeLines(Buffer.concat([torn, junk]))).not.toThrow();
      }),
      { numRuns: 200 },
    );
  });
});
