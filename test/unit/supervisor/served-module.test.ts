import { describe, expect, it } from 'vitest';
import { readModuleManifest } from '#shared/package/read-manifest.js';
import { defaultScoringOptions } from '#shared/package/scoring-options.js';
import { hostedModuleOf, type ServedModule, scriptConfigOf } from '#shared/supervisor/served-module.js';

function served(lines: string): ServedModule {
  const text = `schema: 1\nname: digits\nmodels: [{name: digits, file: model.onnx}]\n${lines}\n`;
  return {
    ...{ id: 'digits a', name: 'cam-digits', version: 3, digest: 'sha256:a', folder: '/modules/a' },
    manifest: readModuleManifest(text, 'module.yaml'),
    settings: { least: 0.5 },
  };
}

describe('a module as its hosts are told of it', () => {
  it('has the defaults for what it does not say', () => {
    expect(hostedModuleOf(served('flavor: onnx'), 4, undefined)).toEqual({
      name: 'cam-digits',
      version: 3,
      digest: 'sha256:a',
      folder: '/modules/a',
      models: [{ name: 'digits', file: 'model.onnx' }],
      accelerators: ['cpu'],
      instances: 1,
      scoring: defaultScoringOptions,
    });
  });

  it('has its own word on batching, and as many workers as there are cores where it asks for that', () => {
    const hosted = hostedModuleOf(served('flavor: onnx\ninstances: auto\nbatching: {mode: "off"}'), 4, undefined);
    expect([hosted.instances, hosted.scoring?.batching.mode]).toEqual([4, 'off']);
  });

  it('has the socket of its script, and tells the script its settings', () => {
    const module = served('flavor: node\nentry: score.mjs');
    const sockets = { scriptSocket: '/run/s1/run.sock', modelsSocket: '/run/s1/m1.sock' };
    expect(hostedModuleOf(module, 1, sockets)).toMatchObject(sockets);
    expect(scriptConfigOf(module, '/run/s1/m1.sock', 99)).toMatchObject({
      ...{ name: 'cam-digits', version: 3, entry: 'score.mjs', models: ['digits'], settings: { least: 0.5 } },
      ...{ modelsSocket: '/run/s1/m1.sock', maxBodyBytes: 99 },
    });
    expect(scriptConfigOf(served('flavor: onnx'), '/run/s1/m1.sock', 99)).toBeUndefined();
  });
});
