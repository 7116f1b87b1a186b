import { describe, expect, it } from 'vitest';
import { AppError } from '#shared/kernel/errors.js';
import { instancesOf, scoringOptionsOf } from '#shared/package/module-manifest.js';
import { defaultScoringOptions } from '#shared/package/scoring-options.js';
import { decodeModuleManifest, encodeModuleManifest, readModuleManifest } from '#shared/package/read-manifest.js';

const minimal = 'schema: 1\nname: digits\nflavor: onnx\nmodels: [{name: digits, file: model.onnx}]\n';

function refusal(yaml: string): { code: string; message: string } {
  try {
    readModuleManifest(yaml, 'module.yaml');
  } catch (error) {
    if (error instanceof AppError) return { code: error.code, message: error.message };
    throw error;
  }
  return { code: 'accepted', message: '' };
}

describe('a module manifest', () => {
  it('gets its defaults', () => {
    expect(readModuleManifest(minimal, 'module.yaml')).toEqual({
      schema: 1,
      name: 'digits',
      flavor: 'onnx',
      models: [{ name: 'digits', file: 'model.onnx' }],
      accelerators: ['cpu'],
      instances: 1,
    });
  });

  it('that says nothing of batching, queue or session packs to the bytes it always had', () => {
    expect(Buffer.from(encodeModuleManifest(readModuleManifest(minimal, 'module.yaml'))).toString()).toBe(
      '{"accelerators":["cpu"],"flavor":"onnx","instances":1,"models":[{"file":"model.onnx","name":"digits"}],"name":"digits","schema":1}\n',
    );
  });

  it('runs its models by the defaults for all that it does not say', () => {
    const manifest = readModuleManifest(`${minimal}batching: {maxRows: 8}\ncapture: {rate: 0.5}\n`, 'module.yaml');
    expect(scoringOptionsOf(readModuleManifest(minimal, 'module.yaml'))).toEqual(defaultScoringOptions);
    expect(scoringOptionsOf(manifest)).toEqual({
      ...defaultScoringOptions,
      batching: { mode: 'auto', maxRows: 8, maxWaitMs: 0 },
      capture: { rate: 0.5, maxBytes: 64 * 1024 ** 2, redact: [] },
    });
  });

  it.each([
    ['1', 16, 1],
    ['3', 1, 3],
    ['auto', 6, 6],
    ['auto', 0, 1],
    ['auto', 200, 64],
  ])('with instances: %s on %i cores has %i', (instances, cores, count) => {
    const manifest = readModuleManifest(`${minimal}instances: ${instances}\n`, 'module.yaml');
    expect(instancesOf(manifest, cores)).toBe(count);
  });

  it('is the same after it was packed', () => {
    const manifest = readModuleManifest(
      `${minimal}golden: {file: golden.json}\ninstances: auto\nqueue: {timeoutMs: 5}\n`,
      'module.yaml',
    );
    const packed = encodeModuleManifest(manifest);
    expect(decodeModuleManifest(packed, 'image')).toEqual(manifest);
    expect(readModuleManifest(Buffer.from(packed).toString(), 'image')).toEqual(manifest);
  });

  it.each(['python', 'container'])('of flavor %s is refused as not yet built', (flavor) => {
    expect(refusal(minimal.replace('onnx', flavor))).toMatchObject({ code: 'module.not-yet' });
  });

  it('with a field that is not yet built says so', () => {
    const { code, message } = refusal(`${minimal}fallback: digits\n`);
    expect([code, message]).toEqual(['module.not-yet', expect.stringContaining('"fallback" is not built yet')]);
  });

  it.each([
    ['acelerators: [cpu]', 'unknown field "acelerators", did you mean "accelerators"?'],
    ['golden: {file: g.json, tolerence: {}}', 'unknown field "tolerence", did you mean "tolerance"?'],
    ['golden: {file: g.json, tolerance: {relativ: 1}}', 'did you mean "relative"?'],
    ['golden: {file: ../g.json}', 'golden.file: must'],
    ['golden: {file: /etc/passwd}', 'golden.file: must'],
    ['batchng: {}', 'unknown field "batchng", did you mean "batching"?'],
    ['batching: {maxrows: 4}', 'batching: unknown field "maxrows", did you mean "maxRows"?'],
    ['warmup: {runs: 1}', 'did you mean "warmUp"?'],
    ['session: {intraThreads: 2}', 'did you mean "intraOpThreads"?'],
    ['batching: {mode: always}', 'batching.mode:'],
    ['cache: {}', 'cache.maxBytes:'],
    ['capture: {rate: 2}', 'capture.rate:'],
    ['instances: 0', 'instances: Too small'],
    ['instances: many', 'instances: must be auto, or a whole number from 1 to 64'],
    ['flavor: onnx', 'not YAML'],
    ['description: &a x\nname2: *a', 'aliases'],
    ['description: !!binary aGVsbG8=', 'description:'],
  ])('with %j is refused, and the message says where', (line, part) => {
    const { code, message } = refusal(`${minimal}${line}\n`);
    expect(code).toBe('module.invalid');
    expect(message).toContain('module.yaml: ');
    expect(message).toContain(part);
  });

  it.each([
    ['two models of one name', 'models: [{name: a, file: a.onnx}, {name: a, file: b.onnx}]'],
    ['two models of one file', 'models: [{name: a, file: a.onnx}, {name: b, file: a.onnx}]'],
    ['no model', 'models: []'],
    ['a model outside the folder', 'models: [{name: a, file: ../a.onnx}]'],
    ['a model hidden in dots', 'models: [{name: a, file: a/../../b.onnx}]'],
  ])('with %s is refused', (_what, line) => {
    expect(refusal(`schema: 1\nname: digits\nflavor: onnx\n${line}\n`).code).toBe('module.invalid');
  });

  it('of flavor node needs an entry', () => {
    expect(refusal(minimal.replace('flavor: onnx', 'flavor: node'))).toMatchObject({ code: 'module.invalid' });
  });

  it.each([
    ['empty', ''],
    ['a list', '- 1'],
    ['a scalar', 'hello'],
    ['tabs and braces', '{{{\t'],
    ['deep nesting', '['.repeat(20_000)],
    ['a billion laughs', `a: &a [x,x,x]\nb: &b [*a,*a,*a]\nc: [*b,*b,*b]`],
    ['too long', `# ${'x'.repeat(70_000)}`],
  ])('that is %s is refused', (_what, text) => {
    expect(refusal(text).code).toBe('module.invalid');
  });
});
