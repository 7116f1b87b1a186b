import { describe, expect, it } from 'vitest';
import { concatenate, encodeInferRequest } from '#shared/scoring/codec/infer-request.js';
import { encodeInferResponse } from '#shared/scoring/codec/infer-response.js';
import type { Tensor } from '#shared/scoring/codec/tensor.js';
import { answerTensors, requestTensors } from '#shared/scoring/traffic/capture/captured-tensors.js';
import { captureFolderOf, cloudEventLine } from '#shared/scoring/traffic/capture/cloud-event.js';

const signature = {
  inputs: [{ name: 'x', datatype: 'FP32', shape: ['', 2] }],
  outputs: [{ name: 'y', datatype: 'INT64', shape: [''] }],
} as const;
const options = { signature, redact: new Set<string>() };
const text = (value: unknown): Uint8Array<ArrayBuffer> => new TextEncoder().encode(JSON.stringify(value));
const x: Tensor = { name: 'x', datatype: 'FP32', shape: [1, 2], data: Float32Array.of(0.5, NaN) };

describe('a captured event', () => {
  const captured = {
    id: 'e-1',
    atMs: Date.UTC(2026, 2, 4, 5, 6, 7),
    side: 'inputs' as const,
    model: 'digits',
    version: 2,
    digest: 'sha256:1',
    requestId: 'r-1',
    tensors: [{ name: 'x', datatype: 'FP32' as const, shape: [1], data: [0.5] }],
  };

  it('is one line: a CloudEvent as the data collector of Azure ML writes it', () => {
    const line = cloudEventLine(captured);
    expect(line.indexOf('\n')).toBe(line.length - 1);
    const data = JSON.stringify(captured.tensors);
    expect(JSON.parse(line)).toEqual({
      specversion: '1.0',
      id: 'e-1',
      source: '/models/digits/versions/2',
      type: 'azureml.inference.inputs',
      datacontenttype: 'application/json',
      time: '2026-03-04T05:06:07.000Z',
      data: captured.tensors,
      correlationid: 'r-1',
      xrequestid: 'r-1',
      modelversion: '2',
      modeldigest: 'sha256:1',
      collectdatatype: 'tensors',
      agent: 'flotilla',
      contentrange: `bytes 0-${String(data.length - 1)}/${String(data.length)}`,
    });
  });

  it('lies in the folder of its module, version, side and hour', () => {
    expect(captureFolderOf(captured)).toBe('digits/2/model_inputs/2026/03/04/05');
    expect(captureFolderOf({ ...captured, side: 'outputs' })).toBe('digits/2/model_outputs/2026/03/04/05');
  });
});

describe('tensors to be captured', () => {
  it('are read from JSON, from binary and from the plain form', () => {
    const json = text({ inputs: [{ name: 'x', shape: [1, 2], datatype: 'FP32', data: [[1, 2]] }] });
    expect(requestTensors({ body: json, jsonLength: undefined }, options)).toEqual([
      { name: 'x', datatype: 'FP32', shape: [1, 2], data: [1, 2] },
    ]);
    expect(requestTensors(encodeInferRequest([x]), options)).toEqual([
      { name: 'x', datatype: 'FP32', shape: [1, 2], data: [0.5, 'NaN'] },
    ]);
    expect(requestTensors({ body: text({ x: [[1, 2]] }), jsonLength: undefined }, options)).toEqual([
      { name: 'x', datatype: 'FP32', shape: [1, 2], data: [[1, 2]] },
    ]);
    const answer = encodeInferResponse({
      modelName: 'm',
      modelVersion: '1',
      id: 'i',
      outputs: [
        { tensor: { name: 'y', datatype: 'INT64', shape: [2], data: BigInt64Array.of(1n, 2n ** 62n) }, binary: true },
      ],
    });
    expect(answerTensors({ body: answer.body, jsonLength: answer.jsonLength }, options)).toEqual([
      { name: 'y', datatype: 'INT64', shape: [2], data: [1, '4611686018427387904'] },
    ]);
  });

  it('stand as their digest where they are many, with their shape', () => {
    const many: Tensor = { name: 'x', datatype: 'UINT8', shape: [200, 200], data: new Uint8Array(40_000) };
    expect(requestTensors(encodeInferRequest([many]), options)).toEqual([
      {
        name: 'x',
        datatype: 'UINT8',
        shape: [200, 200],
        dataref: { bytes: 40_000, digest: expect.stringMatching(/^sha256:[0-9a-f]{64}$/) as string },
      },
    ]);
    const large = concatenate([text({ x: 'y'.repeat(300_000) })]);
    expect(requestTensors({ body: large, jsonLength: undefined }, options)[0]?.dataref?.bytes).toBe(large.length);
  });

  it('keep name, type and shape where their values are left out, and no digest of them', () => {
    const redact = { signature, redact: new Set(['x']) };
    expect(requestTensors(encodeInferRequest([x]), redact)).toEqual([
      { name: 'x', datatype: 'FP32', shape: [1, 2], data: '[redacted]' },
    ]);
    const large = text({ x: 'y'.repeat(300_000) });
    expect(requestTensors({ body: large, jsonLength: undefined }, redact)).toEqual([
      { name: '', dataref: { bytes: large.length } },
    ]);
    expect(requestTensors({ body: new Uint8Array(8), jsonLength: 0 }, redact)).toEqual([
      { name: 'x', data: '[redacted]' },
    ]);
  });
});
