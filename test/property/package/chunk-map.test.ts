import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AppError } from '#shared/kernel/errors.js';
import { maxChunkBytes } from '#shared/protocol/blocks.js';
import { buildChunkMap, decodeChunkMap, encodeChunkMap, flattenChunks, planChunks } from '#shared/package/chunk-map.js';
import { digestFile, sha256Hex } from '#shared/package/digest.js';
import type { ChunkMap } from '#shared/package/image-schema.js';
import { readOnnx } from '#shared/package/onnx/read-onnx.js';
import { bytes, onnxModel } from '#test/support/protobuf-writer.js';
import { temporaryFolder } from '#test/support/temporary-folder.js';

const folder = temporaryFolder();

async function mapOf(name: string, content: Uint8Array, cuts?: readonly number[]): Promise<ChunkMap> {
  const path = folder(name);
  await writeFile(path, content);
  const preferred = cuts ?? (await readOnnx(path)).tensors.flatMap(({ offset, length }) => [offset, offset + length]);
  return buildChunkMap([{ ...(await digestFile(path)), path, cuts: preferred }]);
}

/** Bytes that differ everywhere, so that equal chunks have equal content. */
function noise(length: number, seed: number): Buffer {
  const out = Buffer.alloc(length);
  let state = seed * 2654435761 + 1;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    out[i] = state >>> 24;
  }
  return out;
}

describe('the plan of chunks', () => {
  it('covers a blob from 0 to its size in pieces of at most 256 KiB, and cuts where it was asked', () => {
    const size = fc.integer({ min: 0, max: 3_000_000 });
    const cuts = fc.array(fc.integer({ min: -10, max: 3_100_000 }), { maxLength: 40 });
    fc.assert(
      fc.property(size, cuts, (total, asked) => {
        const lengths = planChunks(total, asked);
        expect(lengths.reduce((sum, length) => sum + length, 0)).toBe(total);
        expect(lengths.every((length) => length >= 1 && length <= maxChunkBytes)).toBe(true);
        const borders = new Set([0, total]);
        let end = 0;
        for (const length of lengths) {
          end += length;
          borders.add(end);
        }
        for (const cut of asked) if (cut > 0 && cut < total) expect(borders.has(cut)).toBe(true);
        // No more pieces than the cuts and the size ask for.
        expect(lengths.length).toBeLessThanOrEqual(new Set(asked).size + Math.ceil(total / maxChunkBytes) + 1);
      }),
    );
  });
});

describe('a chunk map', () => {
  it('has the hash of every chunk, and its chunks lie one after the other', async () => {
    const cuts = fc.array(fc.nat(700_000), { maxLength: 10 });
    await fc.assert(
      fc.asyncProperty(fc.nat(700_000), cuts, async (size, asked) => {
        const content = noise(size, 1);
        const map = await mapOf('blob', content, asked);
        let offset = 0;
        for (const chunk of flattenChunks(map)) {
          expect(chunk.offset).toBe(offset);
          offset += chunk.length;
          expect(sha256Hex(content.subarray(chunk.offset, offset))).toBe(chunk.sha256);
        }
        expect(offset).toBe(size);
        expect(decodeChunkMap(encodeChunkMap(map))).toEqual(map);
      }),
      { numRuns: 30 },
    );
  });

  it('keeps the chunks of a tensor that did not change, wherever it moves', async () => {
    const lengths = fc.array(fc.integer({ min: 4096, max: 600_000 }), { minLength: 1, maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(lengths, fc.integer({ min: 1, max: 5000 }), async (sizes, growth) => {
        const graph = sizes.map((size, index) => bytes(5, bytes(8, `w${String(index)}`), bytes(9, noise(size, index))));
        const before = await mapOf('before', onnxModel({ graph, rest: [bytes(6, '')] }));
        const longer = [bytes(6, 'x'.repeat(growth))];
        const after = await mapOf('after', onnxModel({ graph: [...graph].reverse(), rest: longer }));
        const kept = new Set(flattenChunks(after).map(({ sha256 }) => sha256));
        sizes.forEach((size, index) => {
          const content = noise(size, index);
          for (let at = 0; at < size; at += maxChunkBytes) {
            expect(kept.has(sha256Hex(content.subarray(at, at + maxChunkBytes)))).toBe(true);
          }
        });
        const shared = flattenChunks(before).filter(({ sha256 }) => kept.has(sha256));
        expect(shared.reduce((sum, { length }) => sum + length, 0)).toBeGreaterThanOrEqual(
          sizes.reduce((sum, size) => sum + size, 0),
        );
      }),
      { numRuns: 30 },
    );
  });

  it('of the digits model keeps its tensors when the header grows by one byte', async () => {
    const model = await readFile(fileURLToPath(new URL('../../../modules/digits/model.onnx', import.meta.url)));
    // An unknown field in front of a message is a valid message still.
    const grown = Buffer.concat([Buffer.from([0xf8, 0x07, 0x01]), model]);
    const before = await mapOf('digits', model);
    const kept = new Set(flattenChunks(await mapOf('grown', grown)).map(({ sha256 }) => sha256));
    const tensorBytes = (await readOnnx(folder('digits'))).tensors.reduce((sum, { length }) => sum + length, 0);
    const keptBytes = flattenChunks(before)
      .filter(({ sha256 }) => kept.has(sha256))
      .reduce((sum, { length }) => sum + length, 0);
    expect(keptBytes).toBeGreaterThanOrEqual(tensorBytes);
  });

  it('of any bytes is refused with an AppError', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array(),
          fc.json().map((json) => Buffer.from(json)),
        ),
        (content) => {
          expect(() => decodeChunkMap(content)).toThrow(AppError);
        },
      ),
    );
  });
});
