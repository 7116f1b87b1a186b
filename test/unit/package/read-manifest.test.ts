import { describe, expect, it } from 'vitest';
import { AppError } from '#shared/kernel/errors.js';
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

  it('is the same after it was packed', () => {
    const manifest = readModuleManifest(`${minimal}golden: {file: golden.json}\n`, 'module.yaml');
    const packed = encodeModuleManifest(manifest);
    expect(decodeModuleManifest(packed, 'image')).toEqual(manifest);
    expect(readModuleManifest(Buffer.from(packed).toString(), 'image')).toEqual(manifest);
  });

  it.each(['python', 'container'])('of flavor %s is refused as not yet built', (flavor) => {
    expect(refusal(minimal.replace('onnx', flavor))).toMatchObject({ code: 'module.not-yet' });
  });

  it('with a field that is not yet built says so', () => {
    const { code, message } = refusal(`${minimal}batching: {size: 4}\n`);
    expect([code, message]).toEqual(['module.not-yet', expect.stringContaining('"batching" is not built yet')]);
  });

  it.each([
    ['acelerators: [cpu]', 'unknown field "acelerators", did you mean "accelerators"?'],
    ['golden: {file: g.json, tolerence: {}}', 'unknown field "tolerence", did you mean "tolerance"?'],
    ['golden: {file: g.json, tolerance: {relativ: 1}}', 'did you mean "relative"?'],
    ['golden: {file: ../g.json}', 'golden.file: must'],
    ['golden: {file: /etc/passwd}', 'golden.file: must'],
    ['instances: 0', 'instances:'],
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
