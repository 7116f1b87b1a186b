import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { chunkMapSchema, imageManifestSchema, imageStatementSchema } from '#shared/package/image-schema.js';
import { blocksRequestSchema, decodeFrame, encodeFrame } from '#shared/protocol/blocks.js';
import { canonicalJson } from '#shared/protocol/canonical-json.js';
import { commandRequestSchema, commandResponseSchema } from '#shared/protocol/commands.js';
import { desiredSchema } from '#shared/protocol/desired.js';
import { applyPatch, reportedSchema, type ReportedState } from '#shared/protocol/reported.js';
import { decodeSketch, quantile } from '#shared/protocol/sketch.js';
import { telemetryBatchSchema } from '#shared/protocol/stream.js';
import { exampleOf, exampleText } from '#test/support/examples.js';

const digestOf = (value: unknown): string =>
  `sha256:${createHash('sha256').update(canonicalJson(value)).digest('hex')}`;

describe('the examples tell one story', () => {
  const desired = desiredSchema.parse(exampleOf('desired'));
  const image = desired.modules['digits']?.image;
  const manifest = imageManifestSchema.parse(exampleOf('image-manifest'));
  const map = chunkMapSchema.parse(exampleOf('chunk-map'));

  it('the publisher states the digest that the device is to run', () => {
    expect(image?.digest).toBe(digestOf(exampleOf('image-manifest')));
    expect(imageStatementSchema.parse(exampleOf('image-statement')).digest).toBe(image?.digest);
  });

  it('the chunk map is the last layer and covers all before it', () => {
    expect(manifest.layers.at(-1)?.digest).toBe(digestOf(exampleOf('chunk-map')));
    const covered = [manifest.config, ...manifest.layers.slice(0, -1)].map(({ digest, size }) => ({ digest, size }));
    expect(map.blobs.map(({ digest, size }) => ({ digest, size }))).toEqual(covered);
    for (const { size, chunks } of map.blobs) expect(chunks.reduce((sum, { length }) => sum + length, 0)).toBe(size);
  });

  it('the device asks for chunks that the map has', () => {
    const request = blocksRequestSchema.parse(exampleOf('blocks-request'));
    expect(request.source).toEqual({ kind: 'chunks', map: digestOf(exampleOf('chunk-map')) });
    const chunks = map.blobs.flatMap((blob) => blob.chunks);
    for (const index of request.indexes) expect(chunks[index]).toBeDefined();
  });

  it('the frame answers the first of them with bytes of that hash', () => {
    const bytes = Buffer.from(exampleText('blocks-data.hex').trim(), 'hex');
    const decoded = decodeFrame(bytes);
    if (!decoded.ok) throw new Error(decoded.error);
    expect(decoded.value).toMatchObject({ request: 41, status: 'ok', index: 0, offset: 0, total: 0 });
    expect(createHash('sha256').update(decoded.value.bytes).digest('hex')).toBe(map.blobs[0]?.chunks[0]?.sha256);
    expect(Buffer.from(encodeFrame(decoded.value)).equals(bytes)).toBe(true);
  });

  it('the report says that the device runs it, and that an old module is gone', () => {
    const before: ReportedState = { generation: 6, converged: true, modules: { 'old-digits': {} } };
    const after = applyPatch(before, reportedSchema.parse(exampleOf('reported')).state);
    expect(after).toMatchObject({ generation: 7, converged: true });
    expect(Object.keys(after.modules)).toEqual(['digits']);
    expect(after.modules['digits']?.active?.digest).toBe(image?.digest);
  });

  it('the telemetry has a sketch that decodes to its median', () => {
    const batch = telemetryBatchSchema.parse(exampleOf('telemetry'));
    const encoded = batch.modules['digits']?.latencyMs;
    const sketch = encoded === undefined ? undefined : decodeSketch(encoded);
    expect(sketch?.count).toBe(6);
    expect(sketch === undefined ? null : quantile(sketch, 0.5)).toBeCloseTo(0.44, 1);
  });

  it('the command is answered under its id', () => {
    const request = commandRequestSchema.parse(exampleOf('command-request'));
    expect(commandResponseSchema.parse(exampleOf('command-response')).id).toBe(request.id);
  });
});
