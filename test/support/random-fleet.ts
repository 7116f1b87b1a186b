/** Devices and queries by chance, from so few words that they often meet. */
import fc from 'fast-check';
import { emptyReportedState, type ReportedState } from '#shared/protocol/reported.js';
import type { DeviceStanding } from '#cloud/fleet/query/facts.js';
import type { Query, QueryOperator } from '#cloud/fleet/query/query-ast.js';

const digest = `sha256:${'a'.repeat(64)}`;
const texts = [
  'north',
  'south',
  '3',
  '4',
  '03',
  '4.5',
  '-2',
  '',
  'true',
  '[a]?',
  'a*b',
  'Ünïcode',
  '"quoted\\',
  'no\0rth',
  '\ud800',
];
const versions = ['0.1.0', '0.2.0', '0.10.0', '1.0.0-rc.1', 'nightly'];
const modules = ['digits', 'gate-2'];
const enforcement = fc.boolean().map((enforced) => ({ enforced, by: 'test' }));

const capabilities = fc.record({
  agentVersion: fc.constantFrom(...versions),
  platform: fc.constantFrom('linux-x64', 'linux-arm64'),
  cpus: fc.integer({ min: 1, max: 4 }),
  memoryBytes: fc.constantFrom(1024, 2 ** 33),
  accelerators: fc.subarray(['cpu', 'cuda', 'fpga']),
  hostname: fc.constantFrom('h1', 'h2'),
  sandbox: fc.record({
    ...{ user: enforcement, memory: enforcement, cpu: enforcement, pids: enforcement },
    ...{ files: enforcement, network: enforcement, mounts: enforcement },
  }),
});

const moduleReport = fc.record(
  {
    active: fc.record({
      digest: fc.constant(digest),
      version: fc.integer({ min: 1, max: 3 }),
      state: fc.constantFrom('running' as const, 'stopped' as const),
      provider: fc.constantFrom('cpu', 'cuda'),
    }),
    candidate: fc.record({
      digest: fc.constant(digest),
      version: fc.integer({ min: 1, max: 3 }),
      state: fc.constantFrom('staged' as const, 'rejected' as const),
    }),
  },
  { requiredKeys: [] },
);

const reported: fc.Arbitrary<ReportedState> = fc
  .record(
    {
      generation: fc.integer({ min: 0, max: 2 }),
      converged: fc.boolean(),
      modules: fc.dictionary(fc.constantFrom(...modules), moduleReport, { maxKeys: 2, noNullPrototype: true }),
      capabilities,
      refused: fc.record({
        problem: fc.constant({ code: 'desired.invalid', message: 'no' }),
        at: fc.constant('2026-01-01T00:00:00.000Z'),
      }),
    },
    { requiredKeys: ['modules'] },
  )
  .map((state) => ({ ...emptyReportedState, ...state }));

/** A device as its row has it: it has converged where the generations are the same. */
export interface RandomDevice extends Omit<DeviceStanding, 'name' | 'converged'> {
  readonly desiredGeneration: number;
  readonly retired: boolean;
}

export const randomDevice: fc.Arbitrary<RandomDevice> = fc.record({
  online: fc.boolean(),
  desiredGeneration: fc.integer({ min: 0, max: 2 }),
  release: fc.constantFrom('', 'vision:1', 'vision:2'),
  retired: fc.nat({ max: 9 }).map((chance) => chance === 0),
  tags: fc.dictionary(fc.constantFrom('site', 'line', 'a/b.c', 'constructor'), fc.constantFrom(...texts), {
    maxKeys: 3,
    noNullPrototype: true,
  }),
  reported,
});

const ordered = fc.constantFrom<QueryOperator>('<', '<=', '>', '>=');
const number = fc.constantFrom(0, 1, 2, 3, 4, 4.5, -2, 2 ** 33);
const storableTexts = texts.filter((text) => !/[\0\ud800]/.test(text));
const pattern = fc.constantFrom('*', 'n*', '*th', '*o*t*', 'north', '[a]*', '?', 'a*b', 'd*', '**', '');
const tag = fc.constantFrom('tags.site', 'tags.line', 'tags.a/b.c', 'tags.constructor', 'tags.nobody');
const text = fc.constantFrom('name', 'release', 'refused', 'capabilities.platform', 'modules.digits.state');
const textValue = fc.constantFrom(...storableTexts, 'd1', 'vision:1', 'linux-x64', 'running', 'desired.invalid');
const numeric = fc.constantFrom('capabilities.cpus', 'capabilities.memoryBytes', 'modules.gate-2.version');
const version = fc.constant('capabilities.agentVersion');
const yesNo = fc.constantFrom(
  ...['online', 'converged', 'capabilities.gpu', 'capabilities.fpga', 'capabilities.sandbox.memory'],
  ...['capabilities.accelerators.cuda', 'modules.digits'],
);

const compare = (
  property: fc.Arbitrary<string>,
  operator: fc.Arbitrary<QueryOperator>,
  value: fc.Arbitrary<string | number>,
): fc.Arbitrary<Query> => fc.record({ kind: fc.constant('compare' as const), property, operator, value });
const oneOf = (property: fc.Arbitrary<string>, value: fc.Arbitrary<string | number>): fc.Arbitrary<Query> =>
  fc.record({ kind: fc.constant('in' as const), property, values: fc.array(value, { minLength: 1, maxLength: 4 }) });

const condition: fc.Arbitrary<Query> = fc.oneof(
  fc.record({ kind: fc.constant('has' as const), property: fc.oneof(yesNo, tag, text, numeric, version) }),
  compare(tag, fc.constant('='), fc.oneof(textValue, number)),
  compare(tag, ordered, number),
  compare(fc.oneof(text, tag, version), fc.constant('~'), pattern),
  compare(fc.oneof(text, version), fc.constant('='), textValue),
  compare(numeric, fc.oneof(ordered, fc.constant<QueryOperator>('=')), number),
  compare(version, ordered, fc.constantFrom('0.2', '0.9.1', '1')),
  oneOf(tag, fc.oneof(textValue, number)),
  oneOf(text, textValue),
  oneOf(numeric, number),
);

/** As the parser makes them: no `not` of a `not`. */
export const randomQuery: fc.Arbitrary<Query> = fc.letrec<{ query: Query; plain: Query }>((tie) => ({
  plain: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    condition,
    fc.record({
      kind: fc.constantFrom('and' as const, 'or' as const),
      of: fc.array(tie('query'), { minLength: 2, maxLength: 3 }),
    }),
  ),
  query: fc.oneof(
    tie('plain'),
    tie('plain').map((of): Query => ({ kind: 'not', of })),
  ),
})).query;
