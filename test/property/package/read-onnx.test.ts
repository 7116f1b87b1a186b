import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AppError } from '#shared/kernel/errors.js';
import { readOnnx } from '#shared/package/onnx/read-onnx.js';
import { bytes, number, onnxModel, varint } from '#test/support/protobuf-writer.js';
import { temporaryFolder } from '#test/support/temporary-folder.js';

const fixtures = fileURLToPath(new URL('../../fixtures/models/', import.meta.url));
const names = [
  'add-one.onnx',
  'external/model.onnx',
  'initializer-inputs.onnx',
  'two-inputs.onnx',
  'string-identity.onnx',
];
const models = await Promise.all(names.map((name) => readFile(fixtures + name)));
const folder = temporaryFolder();

/** A model or an AppError of the two codes, and nothing else. */
async function judge(content: Uint8Array): Promise<string> {
  await writeFile(folder('x.onnx'), content);
  try {
    const model = await readOnnx(folder('x.onnx'));
    for (const { offset, length } of model.tensors) expect(offset + length).toBeLessThanOrEqual(content.length);
    return 'accepted';
  } catch (error) {
    expect(error).toBeInstanceOf(AppError);
    const code = error instanceof AppError ? error.code : '';
    expect(['model.invalid', 'model.not-onnx']).toContain(code);
    return code;
  }
}

describe('the reader of ONNX files', () => {
  it('judges any bytes without another error', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 4096 }), async (noise) => {
        await judge(noise);
      }),
      { numRuns: 400 },
    );
  });

  it('judges any fields without another error', async () => {
    const field: fc.Arbitrary<Buffer> = fc.letrec<{ field: Buffer }>((tie) => ({
      field: fc.oneof(
        { depthSize: 'small', withCrossShrink: true },
        fc
          .tuple(fc.integer({ min: 1, max: 26 }), fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }))
          .map(([n, v]) => number(n, v)),
        fc
          .tuple(fc.integer({ min: 1, max: 26 }), fc.string({ unit: 'binary', maxLength: 8 }))
          .map(([n, s]) => bytes(n, s)),
        fc
          .tuple(fc.integer({ min: 1, max: 26 }), fc.array(tie('field'), { maxLength: 4 }))
          .map(([n, parts]) => bytes(n, ...parts)),
      ),
    })).field;
    await fc.assert(
      fc.asyncProperty(fc.array(field, { maxLength: 6 }), fc.array(field, { maxLength: 3 }), async (graph, rest) => {
        await judge(onnxModel({ graph, rest }));
      }),
      { numRuns: 500 },
    );
  });

  it('refuses every truncation of a model before its operator set', async () => {
    for (const model of models) {
      for (let length = 0; length < model.length; length += Math.max(1, Math.floor(model.length / 150))) {
        expect(await judge(model.subarray(0, length))).not.toBe('accepted');
      }
    }
  });

  it('judges models with flipped bits without another error', async () => {
    const flips = fc.array(fc.tuple(fc.nat(), fc.nat(7)), { minLength: 1, maxLength: 8 });
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...models), flips, async (model, bits) => {
        const changed = Buffer.from(model);
        for (const [at, bit] of bits) {
          const index = at % changed.length;
          changed[index] = (changed[index] ?? 0) ^ (1 << bit);
        }
        await judge(changed);
      }),
      { numRuns: 600 },
    );
  });

  it('judges a length field of any size without another error', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 26 }),
        fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
        async (n, length) => {
          await judge(Buffer.concat([number(1, 8), varint(n * 8 + 2), varint(length), Buffer.alloc(16)]));
        },
      ),
    );
  });
});
