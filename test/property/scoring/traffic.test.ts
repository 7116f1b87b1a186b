import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeInferRequest, readInferRequest } from '#shared/scoring/codec/infer-request.js';
import { encodeInferResponse, readInferResponse } from '#shared/scoring/codec/infer-response.js';
import { encodePlainResponse } from '#shared/scoring/codec/plain-request.js';
import type { Tensor } from '#shared/scoring/codec/tensor.js';
import { answerTensors, requestTensors } from '#shared/scoring/traffic/capture/captured-tensors.js';
import { cloudEventLine } from '#shared/scoring/traffic/capture/cloud-event.js';
import { pickByKey, pickByRandom } from '#shared/scoring/traffic/pick-version.js';
import { identityOf } from '#shared/scoring/traffic/request-identity.js';
import { ResponseCache } from '#shared/scoring/traffic/response-cache.js';
import { outputValues } from '#shared/scoring/traffic/answer-values.js';
import { compareAnswers } from '#shared/scoring/traffic/compare-answers.js';

const weights = fc.uniqueArray(
  fc.record({ version: fc.integer({ min: 1, max: 50 }), weight: fc.double({ min: 0, max: 1000, noNaN: true }) }),
  { selector: ({ version }) => version, maxLength: 8 },
);

describe('a picked version', () => {
  it('has weight, whatever the weights, the draw and the key; and there is one where any has', () => {
    fc.assert(
      fc.property(
        weights,
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        fc.string(),
        (list, draw, key) => {
          const weighted = list.filter(({ weight }) => weight > 0).map(({ version }) => version);
          for (const picked of [pickByRandom(list, draw), pickByKey(list, key)]) {
            if (weighted.length === 0) expect(picked).toBeUndefined();
            else expect(weighted).toContain(picked);
          }
        },
      ),
    );
  });

  it('is the same for the same key, in whatever order versions are listed, until its own version goes', () => {
    fc.assert(
      fc.property(weights, fc.string(), (list, key) => {
        const picked = pickByKey(list, key);
        expect(pickByKey([...list].reverse(), key)).toBe(picked);
        const other = list.find(({ version }) => version !== picked);
        if (picked !== undefined && other) {
          expect(
            pickByKey(
              list.filter((one) => one !== other),
              key,
            ),
          ).toBe(picked);
        }
      }),
      {
        examples: [
          [
            [
              { version: 1, weight: 5e-324 },
              { version: 2, weight: 5e-324 },
            ],
            '',
          ],
        ],
      },
    );
  });
});

interface AskedFor {
  readonly id: string | undefined;
  readonly idFirst: boolean;
  readonly values: readonly number[];
  readonly binary: boolean;
  readonly version: number;
}

const asked: fc.Arbitrary<AskedFor> = fc.record({
  id: fc.option(fc.oneof(fc.constantFrom('a', 'b', '","inputs":[]', 'é', '\\'), fc.string({ maxLength: 3 })), {
    nil: undefined,
  }),
  idFirst: fc.boolean(),
  values: fc.array(fc.integer({ min: 0, max: 1 }), { minLength: 1, maxLength: 2 }),
  binary: fc.boolean(),
  version: fc.integer({ min: 1, max: 2 }),
});

function encode({ id, idFirst, values, binary }: AskedFor) {
  const tensor: Tensor = { name: 'x', datatype: 'UINT8', shape: [values.length], data: Uint8Array.from(values) };
  if (binary) return encodeInferRequest([tensor], id === undefined ? {} : { id });
  const inputs = [{ name: 'x', datatype: 'UINT8', shape: [values.length], data: values }];
  const request = idFirst
    ? { ...(id === undefined ? {} : { id }), inputs }
    : { inputs, ...(id === undefined ? {} : { id }) };
  return { body: new TextEncoder().encode(JSON.stringify(request)), jsonLength: undefined };
}

/** A model whose answer is its input, with the id echoed. */
function answerOf(encoded: ReturnType<typeof encode>, version: number) {
  const { id, inputs, binaryOutputs } = readInferRequest(encoded.body, encoded.jsonLength);
  return encodeInferResponse({
    modelName: 'm',
    modelVersion: String(version),
    id,
    outputs: inputs.map((input) => ({
      tensor: { name: 'y', datatype: input.datatype, shape: input.shape, data: input.data() },
      binary: binaryOutputs,
    })),
  });
}

describe('a cache of answers', () => {
  it('never gives one request what another one is answered, and only what the model would have said', () => {
    fc.assert(
      fc.property(fc.array(asked, { maxLength: 40 }), fc.integer({ min: 600, max: 4000 }), (requests, maxBytes) => {
        const cache = new ResponseCache(maxBytes);
        for (const request of requests) {
          const encoded = encode(request);
          const { version } = request;
          const from = { digest: 'd', name: 'm', version, form: 'infer' as const, jsonLength: encoded.jsonLength };
          const identity = identityOf(from, encoded.body);
          const truth = answerOf(encoded, version);
          const kept = cache.get(identity);
          if (kept) {
            expect(kept).toEqual(truth);
            expect(readInferResponse(kept.body, kept.jsonLength)).toEqual(
              readInferResponse(truth.body, truth.jsonLength),
            );
          } else cache.put(identity, truth);
          expect(cache.bytes).toBeLessThanOrEqual(maxBytes);
        }
      }),
      { numRuns: 300 },
    );
  });
});

const canaryText = 'CANARY-5417203968';
const canaryNumber = 5417203968;

/** Tensors of which those named `secret…` hold the canary. */
const tensors: fc.Arbitrary<readonly Tensor[]> = fc
  .uniqueArray(fc.constantFrom('secret', 'secret-2', 'open', 'open-2'), { minLength: 1 })
  .chain((names) =>
    fc.tuple(
      ...names.map((name) =>
        fc.record({ texts: fc.boolean(), count: fc.integer({ min: 1, max: 3 }) }).map(({ texts, count }): Tensor => {
          const canary = name.startsWith('secret');
          return texts
            ? {
                name,
                datatype: 'BYTES',
                shape: [count],
                data: Array<string>(count).fill(canary ? canaryText : 'plain'),
              }
            : {
                name,
                datatype: 'FP64',
                shape: [count],
                data: new Float64Array(count).fill(canary ? canaryNumber : 1.5),
              };
        }),
      ),
    ),
  );

describe('what is captured of redacted tensors', () => {
  it('never holds their values, in whatever form they came', () => {
    const redact = new Set(['secret', 'secret-2']);
    fc.assert(
      fc.property(tensors, fc.constantFrom('binary', 'json', 'plain'), (list, form) => {
        const known = list.map(({ name, datatype, shape }) => ({ name, datatype, shape }));
        const options = { redact, signature: { inputs: known, outputs: known } };
        const plain = { body: encodePlainResponse(list), jsonLength: undefined };
        const answer = encodeInferResponse({
          modelName: 'm',
          modelVersion: '1',
          id: canaryText,
          outputs: list.map((tensor) => ({ tensor, binary: form === 'binary' })),
        });
        const json = new TextEncoder().encode(
          JSON.stringify({
            id: canaryText,
            parameters: { note: canaryText },
            inputs: list.map(({ name, datatype, shape, data }) => ({
              name,
              datatype,
              shape,
              data: Array.from(data as []),
            })),
          }),
        );
        const request =
          form === 'plain' ? plain : form === 'json' ? { body: json, jsonLength: undefined } : encodeInferRequest(list);
        const sides = [
          requestTensors(request, options),
          answerTensors(form === 'plain' ? plain : { body: answer.body, jsonLength: answer.jsonLength }, options),
        ];
        for (const captured of sides) {
          const line = cloudEventLine({
            id: 'e',
            atMs: 0,
            side: 'inputs',
            model: 'm',
            version: 1,
            digest: 'd',
            requestId: 'r',
            tensors: captured,
          });
          expect(line).not.toContain(String(canaryNumber));
          // What is not to be left out is there, with its shape.
          expect(captured.map(({ name, shape }) => ({ name, shape }))).toEqual(
            list.map(({ name, shape }) => ({ name, shape })),
          );
          expect(captured.every(({ name, data }) => (data === '[redacted]') === redact.has(name))).toBe(true);
        }
      }),
      { numRuns: 300 },
    );
  });
});

describe('comparing answers', () => {
  it('never throws, whatever the bytes, and every readable answer agrees with itself', () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 64 }),
      fc.json({ maxDepth: 4 }).map((text) => new TextEncoder().encode(text)),
      fc
        .record({
          outputs: fc.array(
            fc.record({
              name: fc.string(),
              datatype: fc.constantFrom('FP32', 'BYTES', 'x'),
              shape: fc.anything(),
              parameters: fc.record({ binary_data_size: fc.integer() }),
            }),
          ),
        })
        .map((json) => new TextEncoder().encode(JSON.stringify(json))),
    );
    fc.assert(
      fc.property(bytes, fc.option(fc.integer({ min: 0, max: 64 }), { nil: undefined }), (body, jsonLength) => {
        const answer = { body: new Uint8Array(body), ...(jsonLength === undefined ? {} : { jsonLength }) };
        const values = outputValues(answer, { inputs: [], outputs: [] });
        if (!values || new Set(values.map(({ name }) => name)).size < values.length) return;
        const outcome = compareAnswers(values, values, { kind: 'tolerance', absolute: 0, relative: 0 });
        expect(outcome).toMatchObject({ kind: 'compared', agreed: true });
      }),
      { numRuns: 500 },
    );
  });
});
