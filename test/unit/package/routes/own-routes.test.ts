import { parse } from 'yaml';
import { describe, expect, it } from 'vitest';
import { moduleManifestSchema } from '#shared/package/module-manifest.js';
import type { OnnxSignature } from '#shared/package/onnx/read-onnx.js';
import { moduleRoutes, ownRouteProblems } from '#shared/package/routes/check-routes.js';

const script = { schema: 1, name: 'm', flavor: 'node', entry: 's.js', models: [{ name: 'a', file: 'a.onnx' }] };
const bare = { schema: 1, name: 'm', flavor: 'onnx', models: [{ name: 'a', file: 'a.onnx' }] };
const image = 'width: 8, height: 8, channels: 1';

function problems(head: object, yaml: string, signature?: OnnxSignature): string[] {
  const manifest = moduleManifestSchema.parse({ ...head, routes: parse(yaml) as unknown });
  return ownRouteProblems({ ...moduleRoutes(manifest), signature }, 'm').map(({ message }) => message);
}

function signatureOf(...inputs: OnnxSignature['inputs']): OnnxSignature {
  return { inputs, outputs: [], opsets: {}, irVersion: 8, producer: '', description: '', metadata: {} };
}

const digit = { name: 'image', datatype: 'FP32', shape: ['batch', 1, 8, 8] };

describe('routes that hold together', () => {
  it.each([
    ['a topic to an input', script, 'a: { from: { topic: plant/# }, to: { input: amlInput } }'],
    ['raw bytes to a script', script, 'a: { from: { topic: pcm }, to: { input: amlInput }, codec: bytes }'],
    ['a timer', script, 'a: { from: { cron: "*/5 * * * *", timeZone: Europe/Berlin }, to: { input: amlInput } }'],
    ['a timer with seconds', script, 'a: { from: { cron: "*/5 * * * * *" }, to: { input: amlInput } }'],
    ['an output that only the route names', script, 'a: { from: { output: alarms }, to: { cloud: event } }'],
    [
      'another topic out than in',
      script,
      'a: { from: { topic: a/+ }, to: { input: amlInput } }\nb: { from: { output: x }, to: { topic: b } }',
    ],
    [
      'the same topic on two brokers',
      script,
      'a: { from: { topic: t, broker: plant }, to: { input: amlInput } }\nb: { from: { output: x }, to: { topic: t } }',
    ],
    [
      'pictures to a model',
      bare,
      `a: { from: { folder: in }, to: { input: amlInput }, codec: { image: { ${image} } } }`,
    ],
  ])('%s', (_, head, yaml) => {
    expect(problems(head, yaml)).toEqual([]);
  });

  it('pictures that fit the tensor of the model', () => {
    const yaml = `a: { from: { http: in }, to: { input: amlInput }, codec: { image: { ${image} } } }`;
    expect(problems(bare, yaml, signatureOf(digit))).toEqual([]);
    expect(problems(bare, yaml, signatureOf({ ...digit, shape: ['...'] }))).toEqual([]);
  });
});

describe('routes that do not', () => {
  it.each([
    [
      'an input that is not there',
      script,
      'a: { from: { topic: t }, to: { input: raw } }',
      /no input "raw"; it has amlInput; declare/,
    ],
    [
      'an input that a module without a script cannot have',
      bare,
      'a: { from: { topic: t }, to: { input: raw } }',
      /no input "raw"; it has amlInput$/,
    ],
    [
      'an output that a module without a script cannot have',
      bare,
      'a: { from: { output: alarms }, to: { topic: t } }',
      /no output "alarms"; it has amlOutput/,
    ],
    ['nowhere', script, 'a: { from: { topic: t }, to: { cloud: event } }', /leads nowhere in this module/],
    [
      'another module, past this one',
      script,
      'a: { from: { topic: t }, to: { module: other, input: x } }',
      /leads nowhere in this module/,
    ],
    ['itself', script, 'a: { from: { output: x }, to: { input: amlInput } }', /in a circle/],
    [
      'itself over a topic',
      script,
      'a: { from: { output: x }, to: { topic: p/q } }\nb: { from: { topic: p/+ }, to: { input: amlInput } }',
      /in a circle: m\.a -> p\/q -> m\.b/,
    ],
    [
      'a timer that never comes',
      script,
      'a: { from: { cron: "61 * * * *" }, to: { input: amlInput } }',
      /"61 \* \* \* \*" is not a cron expression/,
    ],
    [
      'a time zone of nowhere',
      script,
      'a: { from: { cron: "* * * * *", timeZone: Mars/Base }, to: { input: amlInput } }',
      /"Mars\/Base" is not a time zone/,
    ],
    [
      'a timer to a bare model',
      bare,
      'a: { from: { cron: "* * * * *" }, to: { input: amlInput } }',
      /a timer brings the time alone/,
    ],
    [
      'bytes to a bare model',
      bare,
      'a: { from: { topic: t }, to: { input: amlInput }, codec: bytes }',
      /flavor onnx takes json/,
    ],
    [
      'a picture by a timer',
      script,
      `a: { from: { cron: "* * * * *" }, to: { input: amlInput }, codec: { image: { ${image} } } }`,
      /a timer brings JSON/,
    ],
    [
      'a codec for answers',
      script,
      'a: { from: { output: x }, to: { topic: t }, codec: json }',
      /only data that comes to an input is decoded/,
    ],
    [
      'files that are dropped',
      script,
      'a: { from: { folder: in }, to: { input: amlInput }, queue: { policy: drop-oldest } }',
      /files wait in their folder/,
    ],
    [
      'who posts kept waiting',
      script,
      'a: { from: { http: in }, to: { input: amlInput }, queue: { policy: block } }',
      /told 429/,
    ],
    [
      'one folder twice',
      script,
      'a: { from: { folder: in }, to: { input: amlInput } }\nb: { from: { folder: in, match: x }, to: { input: amlInput } }',
      /route a has the folder in already/,
    ],
    [
      'one file twice',
      script,
      'a: { from: { output: x }, to: { file: f } }\nb: { from: { output: y }, to: { file: f } }',
      /route a has the file f already/,
    ],
    [
      'two means for one channel',
      script,
      'a: { from: { http: in }, to: { input: amlInput }, codec: { image: { width: 1, height: 1, channels: 1, mean: [0, 1] } } }',
      /image\.mean has 2 numbers for 1 channels/,
    ],
    [
      'pixels as they are, and scaled',
      script,
      'a: { from: { http: in }, to: { input: amlInput }, codec: { image: { width: 1, height: 1, datatype: UINT8, scale: 2 } } }',
      /leave scale, mean and std out/,
    ],
  ] as const)('%s', (_, head, yaml, message) => {
    expect(problems(head, yaml)).toEqual([expect.stringMatching(message)]);
  });

  it.each([
    [
      'another size',
      signatureOf({ ...digit, shape: [1, 1, 16, 16] }),
      /makes FP32 \[1, 1, 8, 8\], the model's input "image" is FP32 \[1, 1, 16, 16\]/,
    ],
    ['another datatype', signatureOf({ ...digit, datatype: 'UINT8' }), /is UINT8/],
    ['several inputs', signatureOf(digit, { ...digit, name: 'mask' }), /name one: image, mask/],
  ])('a picture for a tensor of %s', (_, signature, message) => {
    const yaml = `a: { from: { http: in }, to: { input: amlInput }, codec: { image: { ${image} } } }`;
    expect(problems(bare, yaml, signature)).toEqual([expect.stringMatching(message)]);
  });
});
