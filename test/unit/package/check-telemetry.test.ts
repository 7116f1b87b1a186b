import { describe, expect, it } from 'vitest';
import { AppError } from '#shared/kernel/errors.js';
import { checkTelemetry } from '#shared/package/check-telemetry.js';
import { readModuleManifest } from '#shared/package/read-manifest.js';

const signature = {
  inputs: [
    { name: 'pixels', datatype: 'FP32', shape: [-1, 64] },
    { name: 'site', datatype: 'BYTES', shape: [-1] },
  ],
  outputs: [{ name: 'label', datatype: 'INT64', shape: [-1] }],
};
const one = '[{name: digits, file: a.onnx}]';
const two = '[{name: digits, file: a.onnx}, {name: other, file: b.onnx}]';

function verdict(telemetry: string, models = one): string {
  const yaml = `schema: 1\nname: digits\nflavor: onnx\nmodels: ${models}\ntelemetry: ${telemetry}\n`;
  const signatures = new Map([
    ['digits', signature],
    ['other', { inputs: [], outputs: [] }],
  ]);
  try {
    checkTelemetry(readModuleManifest(yaml, 'module.yaml'), signatures, 'module.yaml');
  } catch (error) {
    if (error instanceof AppError) return `${error.code}: ${error.message}`;
    throw error;
  }
  return 'accepted';
}

describe('what a module wants summarised', () => {
  it.each([
    ['{}', one],
    ['{inputs: [{name: pixels}, {name: site, as: categories}], outputs: [{name: label, as: categories}]}', one],
    ['{samplesPerSecond: 0.1, outputs: [{name: label, model: digits}]}', two],
  ])('is accepted where its models have it: %s', (telemetry, models) => {
    expect(verdict(telemetry, models)).toBe('accepted');
  });

  it.each([
    [
      '{inputs: [{name: pixel}]}',
      one,
      'telemetry.inputs.0: model "digits" has no input "pixel", did you mean "pixels"?',
    ],
    ['{outputs: [{name: pixels}]}', one, 'model "digits" has no output "pixels"; it has label'],
    ['{inputs: [{name: site}]}', one, '"site" is BYTES, of which there are no numbers: use categories'],
    [
      '{inputs: [{name: pixels, as: categories}]}',
      one,
      '"pixels" is FP32, of which there are no categories: use numbers',
    ],
    ['{inputs: [{name: pixels}, {name: pixels}]}', one, 'telemetry.inputs.1: "pixels" is named twice'],
    ['{inputs: [{name: pixels}]}', two, 'say which model it is of: digits, other'],
    ['{inputs: [{name: pixels, model: digit}]}', two, 'there is no model "digit", did you mean "digits"?'],
    ['{input: []}', one, 'unknown field "input", did you mean "inputs"?'],
    ['{inputs: [{name: pixels, as: histogram}]}', one, 'telemetry.inputs.0.as:'],
    ['{samplesPerSecond: 0}', one, 'telemetry.samplesPerSecond:'],
  ])('is refused, and the message says where: %s', (telemetry, models, part) => {
    expect(verdict(telemetry, models)).toMatch(/^module.invalid: module.yaml: /);
    expect(verdict(telemetry, models)).toContain(part);
  });
});
