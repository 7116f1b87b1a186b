/** What the soak sends: models in both forms, requests that are refused, clients that go away. */
import { headersOf, requestOf, type BenchTensor, type Form } from '../scoring/wire.js';
import { postRequest } from '../http-client.js';

export interface Kind {
  readonly name: string;
  /** The model it needs; absent where any answer but the expected is a failure. */
  readonly model?: string;
  readonly request: Buffer;
  /** Status of the answer; none: the client goes away. */
  readonly expected: number | 'half-way' | 'before the answer';
  /** How often, among the others. */
  readonly weight: number;
}

export interface SoakModel {
  readonly name: string;
  readonly inputs: readonly BenchTensor[];
  readonly weights: Readonly<Record<Form, number>>;
}

export function kindsOf(models: readonly SoakModel[]): readonly Kind[] {
  const scored = models.flatMap(({ name, inputs, weights }) =>
    (['JSON', 'binary'] as const).map((form): Kind => {
      const request = scoring(name, inputs, form);
      return { name: `${name} ${form}`, model: name, request, expected: 200, weight: weights[form] };
    }),
  );
  const [first] = models;
  if (!first) return [];
  const path = `/v2/models/${first.name}/infer`;
  const json = { 'content-type': 'application/json' };
  const good = requestOf(first.inputs, 'binary');
  const whole = scoring(first.name, first.inputs, 'binary');
  const bad = (name: string, status: number, request: Buffer): Kind => ({ name, request, expected: status, weight: 2 });
  return [
    ...scored,
    bad('broken JSON', 400, postRequest(path, json, Buffer.from('{"inputs":[{"name":'))),
    bad('no inputs', 400, postRequest(path, json, Buffer.from('{"inputs":[]}'))),
    bad(
      'wrong shape',
      400,
      scoring(first.name, [{ name: 'x', datatype: 'FP32', shape: [1, 3], data: [1, 2, 3] }], 'JSON'),
    ),
    bad('unknown model', 404, scoring('no-such-model', first.inputs, 'JSON')),
    bad('length off by one', 400, postRequest(path, { ...headersOf(good), ...lengthOff(good.jsonLength) }, good.body)),
    { name: 'gone half-way', request: whole, expected: 'half-way', weight: 2 },
    { name: 'gone before the answer', request: whole, expected: 'before the answer', weight: 2 },
  ];
}

function scoring(model: string, inputs: readonly BenchTensor[], form: Form): Buffer {
  const message = requestOf(inputs, form);
  return postRequest(`/v2/models/${model}/infer`, headersOf(message), message.body);
}

function lengthOff(jsonLength = 0): Record<string, string> {
  return { 'inference-header-content-length': String(jsonLength - 1) };
}

/** The kind that a number of [0, 1) stands for. */
export function pickKind(kinds: readonly Kind[], random: number): Kind | undefined {
  let left = random * kinds.reduce((sum, { weight }) => sum + weight, 0);
  return kinds.find(({ weight }) => {
    left -= weight;
    return left < 0;
  });
}
