import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, it } from 'vitest';
import { protocolDocuments } from '#scripts/protocol-documents.js';
import { maxDesiredBytes } from '#shared/protocol/desired.js';
import { encodeMessage } from '#shared/protocol/decode.js';
import { exampleOf } from '#test/support/examples.js';

const folder = join(process.cwd(), 'docs/protocol/schemas');
const base64 = /^(?:[0-9a-zA-Z+/]{4})*(?:[0-9a-zA-Z+/]{2}==|[0-9a-zA-Z+/]{3}=)?$/;

/** Every schema as committed, compiled by an implementation of JSON Schema that is not zod. */
function compile(name: string) {
  const ajv = new Ajv2020({
    strict: true,
    strictTypes: false,
    formats: { 'date-time': true, base64, uri: (text: string) => URL.canParse(text) },
  });
  // How a string that is base64 may be read is an annotation.
  return ajv.compile(JSON.parse(readFileSync(join(folder, `${name}.schema.json`), 'utf8')) as object);
}

type Path = readonly (string | number)[];

/** Every place in a value. */
function* placesOf(value: unknown, path: Path = []): Generator<Path> {
  yield path;
  if (Array.isArray(value)) for (const [index, item] of value.entries()) yield* placesOf(item, [...path, index]);
  else if (typeof value === 'object' && value !== null) {
    for (const [key, item] of Object.entries(value)) yield* placesOf(item, [...path, key]);
  }
}

const remove = Symbol('remove');

/** The value with another thing, or nothing, in one place. */
function changed(value: unknown, [key, ...rest]: Path, to: unknown): unknown {
  if (key === undefined) return to;
  const copy = structuredClone(value) as Record<string | number, unknown>;
  if (rest.length > 0) copy[key] = changed(copy[key], rest, to);
  else if (to !== remove) copy[key] = to;
  else if (Array.isArray(copy)) copy.splice(Number(key), 1);
  else delete copy[key];
  return copy;
}

/** Things that a careless or hostile peer may put anywhere. */
const oddities: readonly unknown[] = [
  null,
  true,
  0,
  -1,
  2,
  1.5,
  2 ** 53,
  1e300,
  '',
  'x',
  'UPPER',
  '../up',
  'x'.repeat(5000),
  '2026-11-23T09:00:00.000Z',
  '2026-11-23T09:00:00Z',
  '2026-02-30T09:00:00.000Z',
  `sha256:${'0'.repeat(64)}`,
  `sha256:${'0'.repeat(63)}G`,
  [],
  ['x'],
  Array.from({ length: 300 }, () => 1),
  {},
  { x: 1 },
  { 'not a name!': {} },
  Object.fromEntries(Array.from({ length: 65 }, (_, index) => [`k${String(index)}`, 'v'])),
];

describe.each(protocolDocuments)('$name', ({ name, schema }) => {
  const validate = compile(name);
  const example = exampleOf(name);

  it('has an example that zod and JSON Schema accept', () => {
    expect(schema.safeParse(example).error).toBeUndefined();
    expect(validate(example), JSON.stringify(validate.errors)).toBe(true);
  });

  it('is judged alike by zod and JSON Schema with anything in any place, or missing from it', () => {
    const disagreements: string[] = [];
    let refused = 0;
    for (const path of placesOf(example)) {
      const variants = path.length === 0 ? oddities : [remove, ...oddities];
      for (const variant of variants) {
        const value = changed(example, path, variant);
        const byZod = schema.safeParse(value).success;
        if (!byZod) refused += 1;
        if (byZod !== validate(value)) {
          const what = variant === remove ? 'removed' : JSON.stringify(variant).slice(0, 60);
          disagreements.push(`${path.join('.')} = ${what}: zod ${byZod ? 'accepts' : 'refuses'}`);
        }
      }
    }
    expect(disagreements).toEqual([]);
    expect(refused).toBeGreaterThan(20);
  });

  it('is judged alike with a field that it does not know', () => {
    for (const path of placesOf(example)) {
      const place = path.reduce<unknown>((at, key) => Reflect.get(at as object, key), example);
      if (typeof place !== 'object' || place === null) continue;
      const value = changed(example, [...path, 'xUnknown'], 'x');
      expect(validate(value), path.join('.')).toBe(schema.safeParse(value).success);
    }
  });
});

it('what commands a device is strict, what reports to the cloud tolerates newer peers', () => {
  const accepts = (name: string): boolean =>
    compile(name)({ ...(exampleOf(name) as object), fromTheFuture: 1 }) as boolean;
  for (const name of ['desired', 'command-request', 'enrolment-token', 'module-manifest'])
    expect(accepts(name), name).toBe(false);
  for (const name of ['reported', 'presence', 'telemetry', 'events', 'ack', 'command-response'])
    expect(accepts(name), name).toBe(true);
});

it('what has a default may be left out', () => {
  const { prefetch: _prefetch, ...desired } = exampleOf('desired') as Record<string, unknown>;
  expect(compile('desired')(desired)).toBe(true);
});

it('there is a schema for every document, an example for every schema, and no other', () => {
  const names = protocolDocuments.map(({ name }) => name).sort();
  expect(readdirSync(folder).sort()).toEqual(names.map((name) => `${name}.schema.json`).sort());
  const examples = readdirSync(join(process.cwd(), 'test/fixtures/messages')).filter((file) => file.endsWith('.json'));
  expect(examples.sort()).toEqual(names.map((name) => `${name}.json`).sort());
});

it('schemas and reference are what the code says', () => {
  const check = spawnSync(
    process.execPath,
    ['--conditions=source', '--import', 'tsx', '.scripts/generate-schemas.ts', '--check'],
    { encoding: 'utf8' },
  );
  expect(check.stderr).toBe('');
  expect(check.status).toBe(0);
});

it('the largest desired document that its schema allows has a cap of its own', () => {
  // 64 modules and as many images to prefetch fit; the schema alone bounds no number of modules.
  const desired = exampleOf('desired') as { modules: Record<string, { image: unknown }> };
  const { image } = desired.modules['digits'] ?? {};
  const many = Object.fromEntries(Array.from({ length: 64 }, (_, index) => [`module-${String(index)}`, { image }]));
  const whole = { ...desired, modules: many, prefetch: Array.from({ length: 64 }, () => image) };
  expect(compile('desired')(whole)).toBe(true);
  expect(Math.ceil((encodeMessage(whole).length * 4) / 3)).toBeLessThan(maxDesiredBytes);
});
