/** What a scoring host tells its owner of one interval, beside counts: where time went, and what tensors were like. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { defaultScoringOptions } from '#shared/package/scoring-options.js';
import { telemetrySchema } from '#shared/package/telemetry-options.js';
import { decodeSketch } from '#shared/protocol/sketch.js';
import { moduleMetricsSchema } from '#shared/protocol/stream.js';
import { digits, digitsFolder, post, Scoring } from '#test/support/scoring-harness.js';

const scoring = new Scoring();
afterEach(() => scoring.end());

const vectors = JSON.parse(readFileSync(join(digitsFolder, 'golden.json'), 'utf8')) as { request: object }[];
const telemetry = telemetrySchema.parse({
  samplesPerSecond: 1000,
  inputs: [{ name: 'image' }],
  outputs: [
    { name: 'label', as: 'categories' },
    { name: 'probabilities', as: 'argmax' },
  ],
});

describe('a scoring host', () => {
  it('sums up what the manifest asks for, of live requests alone, and tells it once', async () => {
    const scored = { ...digits, scoring: { ...defaultScoringOptions, telemetry } };
    const host = scoring.spawn();
    await host.load({ modules: [scored], labels: {}, maxBodyBytes: 1024 * 1024 });
    expect(await host.prove('digits')).toMatchObject({ ok: true, value: { vectors: vectors.length } });
    const { handle, port } = scoring.bind();
    await host.listen(handle);
    for (const { request } of vectors) {
      const { status } = await post(`http://127.0.0.1:${String(port)}/v2/models/digits/infer`, request);
      expect(status).toBe(200);
    }
    const { modules } = await host.stats();
    const told = modules[0];
    expect(moduleMetricsSchema.parse(told)).toEqual(
      expect.objectContaining({ stages: told?.stages, tensors: told?.tensors }),
    );
    expect(told?.stages && decodeSketch(told.stages.computeMs)?.count).toBe(vectors.length);
    expect(told?.stages && decodeSketch(told.stages.queueMs)?.count).toBe(vectors.length);
    // Requests that come within a millisecond of each other are not all looked at.
    const samples = told?.tensors?.samples ?? 0;
    expect(samples).toBeGreaterThan(0);
    expect(samples).toBeLessThanOrEqual(vectors.length);
    expect(told?.tensors?.inputs['image']).toMatchObject({ kind: 'numbers', nan: 0, min: 0, max: 16 });
    expect(told?.tensors?.outputs['label']).toEqual(told?.tensors?.outputs['probabilities']);
    const again = (await host.stats()).modules[0];
    expect([again?.stages, again?.tensors]).toEqual([undefined, undefined]);
  });

  it('looks at nothing where nothing is asked', async () => {
    const { host, url } = await scoring.serve([digits]);
    await post(`${url}/v2/models/digits/infer`, vectors[0]?.request);
    const [told] = (await host.stats()).modules;
    expect(told?.tensors).toBeUndefined();
    expect(told?.requests).toBe(1);
  });
});
