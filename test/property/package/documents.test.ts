import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AppError } from '#shared/kernel/errors.js';
import { checkManifest } from '#shared/package/check-image.js';
import { digestOf } from '#shared/package/digest.js';
import { readGoldenFile } from '#shared/package/golden-file.js';
import { decodeModuleManifest, encodeModuleManifest, readModuleManifest } from '#shared/package/read-manifest.js';
import { PathClaims } from '#shared/package/path-claims.js';
import { relativePathSchema } from '#shared/protocol/primitives.js';
import { posix } from 'node:path';

const outsideBytes = fc.oneof(
  fc.uint8Array({ maxLength: 512 }),
  fc.json({ maxDepth: 4 }).map((json) => Buffer.from(json)),
);

function onlyAppError(act: () => unknown): void {
  try {
    act();
  } catch (error) {
    expect(error).toBeInstanceOf(AppError);
  }
}

describe('documents from outside', () => {
  it('of any bytes are read or refused with an AppError', () => {
    fc.assert(
      fc.property(outsideBytes, (bytes) => {
        onlyAppError(() => checkManifest(bytes, digestOf(bytes)));
        onlyAppError(() => readGoldenFile(bytes, 'golden.json'));
        onlyAppError(() => decodeModuleManifest(bytes, 'module'));
      }),
      { numRuns: 500 },
    );
  });

  it('of any text, as a module manifest, are read or refused with an AppError', () => {
    const punctuation = fc.string({ unit: fc.constantFrom(...'abc:-?[]{},&*!|>\'"%@`#\n\t 0~<='), maxLength: 200 });
    fc.assert(
      fc.property(fc.oneof(punctuation, fc.string({ unit: 'binary' })), (text) => {
        onlyAppError(() => readModuleManifest(text, 'module.yaml'));
      }),
      { numRuns: 1000 },
    );
  });
});

describe('a module manifest', () => {
  const name = fc.stringMatching(/^[a-z0-9][a-z0-9-]{0,20}$/);
  const manifest = fc.record(
    {
      schema: fc.constant(1),
      name,
      flavor: fc.constant('onnx'),
      description: fc.string({ unit: 'grapheme', maxLength: 100 }),
      models: fc
        .uniqueArray(name, { minLength: 1, maxLength: 4 })
        .map((names) => names.map((one) => ({ name: one, file: `${one}.onnx` }))),
      instances: fc.integer({ min: 1, max: 64 }),
    },
    { requiredKeys: ['schema', 'name', 'flavor', 'models'] },
  );

  it('is the same after packing, as JSON and as YAML', () => {
    fc.assert(
      fc.property(manifest, (value) => {
        const read = readModuleManifest(JSON.stringify(value), 'module.yaml');
        const packed = encodeModuleManifest(read);
        expect(decodeModuleManifest(packed, 'image')).toEqual(read);
        expect(readModuleManifest(Buffer.from(packed).toString(), 'image')).toEqual(read);
      }),
    );
  });
});

describe('a relative path', () => {
  it('that is accepted stays in its folder, whatever it is', () => {
    const text = fc.string({ unit: fc.constantFrom(...'ab./\\:~-_ \0\n'), maxLength: 12 });
    fc.assert(
      fc.property(text, (path) => {
        if (!relativePathSchema.safeParse(path).success) return;
        expect(posix.join('/folder', path)).toBe(`/folder/${path}`);
      }),
      { numRuns: 2000 },
    );
  });
});

describe('claims of paths', () => {
  it('never give one place to two files, nor a file to a folder', () => {
    const path = fc
      .array(fc.constantFrom('a', 'B', 'b', 'c'), { minLength: 1, maxLength: 3 })
      .map((parts) => parts.join('/'));
    fc.assert(
      fc.property(fc.array(path, { maxLength: 12 }), (paths) => {
        const claims = new PathClaims();
        const given = paths.filter((one) => claims.claimFile(one)).map((one) => one.toLowerCase());
        expect(new Set(given).size).toBe(given.length);
        for (const one of given) expect(given.some((other) => other.startsWith(`${one}/`))).toBe(false);
      }),
    );
  });
});
