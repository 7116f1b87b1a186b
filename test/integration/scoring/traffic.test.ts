import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { decodeSketch } from '#shared/protocol/sketch.js';
import type { HostModuleStats } from '#shared/scoring/host-protocol.js';
import type { ScoringHostProcess } from '#shared/supervisor/scoring-host-process.js';
import { convolutionModel } from '#test/support/onnx-writer.js';
import { type Answered, digits, digitsFolder, hostedModule, post, Scoring } from '#test/support/scoring-harness.js';

const scoring = new Scoring();
afterEach(() => scoring.end());

const digit = await readFile(join(digitsFolder, 'fixtures/digit.json'), 'utf8');
const second = {
  ...digits,
  version: 2,
  digest: `sha256:${'2'.repeat(64)}`,
  models: [{ name: 'digits', file: 'model-v2.onnx' }],
};
const goldenV2 = { file: 'golden-v2.json', tolerance: { absolute: 1e-4, relative: 1e-3 } };
const json = { 'content-type': 'application/json' };

const versionOf = (answer: Answered): string | null => answer.headers.get('flotilla-version');
const ask = (url: string, headers: Record<string, string> = {}): Promise<Answered> =>
  post(`${url}/v2/models/digits/infer`, digit, { ...json, ...headers });

async function askOften(url: string, times: number, headers: (index: number) => Record<string, string> = () => ({})) {
  const counts: Record<string, number> = {};
  for (let index = 0; index < times; index++) {
    const answer = await ask(url, headers(index));
    expect(answer.status).toBe(200);
    const version = versionOf(answer) ?? '';
    counts[version] = (counts[version] ?? 0) + 1;
  }
  return counts;
}

describe('a host of two versions', () => {
  it('answers by the newest where no traffic is set, by weight where it is, and counts both apart', async () => {
    const { host, url } = await scoring.serve([digits, second]);
    expect(await askOften(url, 5)).toEqual({ '2': 5 });
    await host.traffic({ digits: { weights: { '1': 1, '2': 1 } } });
    await host.stats();
    const counts = await askOften(url, 60);
    expect(counts['1']).toBeGreaterThan(5);
    expect(counts['2']).toBeGreaterThan(5);
    const { modules } = await host.stats();
    expect(modules.map(({ name, version, requests }) => [name, version, requests])).toEqual([
      ['digits', 1, counts['1']],
      ['digits', 2, counts['2']],
    ]);
    await host.traffic({ digits: { weights: { '1': 5 } } });
    expect(await askOften(url, 10)).toEqual({ '1': 10 });
    await host.traffic({});
    expect(await askOften(url, 5)).toEqual({ '2': 5 });
  });

  it('keeps requests of one route key with one version', async () => {
    const { url } = await scoring.serve([digits, second], {
      traffic: { digits: { weights: { '1': 50, '2': 50 } } },
    });
    const seen = new Set<string>();
    for (const key of ['a', 'b', 'c', 'd', 'e', 'f']) {
      const counts = await askOften(url, 4, () => ({ 'flotilla-route-key': key }));
      expect(Object.keys(counts)).toHaveLength(1);
      for (const version of Object.keys(counts)) seen.add(version);
    }
    expect(seen).toEqual(new Set(['1', '2']));
  });

  it('obeys a pin by header and in the URL whatever the weights, and says what is wrong with one', async () => {
    const { url } = await scoring.serve([digits, second], { traffic: { digits: { weights: { '1': 1 } } } });
    expect(versionOf(await ask(url, { 'flotilla-version': '2' }))).toBe('2');
    expect(versionOf(await ask(url, { 'azureml-model-deployment': '2' }))).toBe('2');
    expect(versionOf(await post(`${url}/v2/models/digits/versions/2/infer`, digit, json))).toBe('2');
    expect(versionOf(await post(`${url}/score`, digit, { ...json, 'flotilla-version': '2' }))).toBe('2');
    expect(versionOf(await post(`${url}/score`, digit, json))).toBe('1');
    const unknown = await ask(url, { 'flotilla-version': 'blue' });
    expect([unknown.status, unknown.json]).toEqual([
      404,
      { error: 'no version "blue" of model "digits" here; this host serves version 1, 2' },
    ]);
    const both = await ask(url, { 'flotilla-version': '1', 'azureml-model-deployment': '2' });
    expect([both.status, both.json]).toEqual([
      400,
      { error: 'the request is pinned to version "1" and to "2": name one' },
    ]);
  });

  it('refuses traffic that it cannot keep, whole, and stays with what it had', async () => {
    const { host, url } = await scoring.serve([digits, second]);
    await host.traffic({ digits: { weights: { '1': 1 } } });
    for (const [traffic, message] of [
      [{ digits: { weights: { '2': 1 } }, cats: { weights: { '1': 1 } } }, /no module "cats" is here/],
      [{ digits: { weights: { '3': 1 } } }, /"digits" has no version 3 here; there is 1, 2/],
      [{ digits: { weights: { '1': 0 } } }, /one weight at least/],
      [{ digits: { weights: { '1': 1, '2': 1 }, shadow: { version: 2, rate: 1 } } }, /must not answer live/],
      [
        { digits: { weights: { '1': 1 }, shadow: { version: 2, rate: 1, compare: { kind: 'top-1', output: 'x' } } } },
        /no output "x" to compare; it has/,
      ],
    ] as const) {
      await expect(host.traffic(traffic)).rejects.toMatchObject({
        code: 'config.invalid',
        message: expect.stringMatching(message) as string,
      });
    }
    expect(await askOften(url, 5)).toEqual({ '1': 5 });
    const other = scoring.spawn();
    const config = { modules: [digits], labels: {}, maxBodyBytes: 1 << 20 };
    expect(await other.load({ ...config, traffic: { digits: { weights: { '2': 1 } } } })).toMatchObject({
      ok: false,
      error: { module: 'digits', problem: { code: 'config.invalid' } },
    });
  });

  it('is proved by the golden vectors of each of them', async () => {
    const { host } = await scoring.serve([digits, { ...second, golden: goldenV2 }]);
    const proved = await host.prove('digits');
    expect(proved.ok && proved.value.vectors).toBeGreaterThan(1);
    const { host: wrong } = await scoring.serve([second, digits]);
    expect(await wrong.prove('digits')).toMatchObject({
      ok: false,
      error: { code: 'golden.mismatch', message: expect.stringMatching(/"digits" version 2 on cpu/) as string },
    });
    const { host: older } = await scoring.serve([
      { ...digits, golden: goldenV2 },
      { ...second, golden: goldenV2 },
    ]);
    expect(await older.prove('digits')).toMatchObject({
      ok: false,
      error: { code: 'golden.mismatch', message: expect.stringMatching(/"digits" version 1 on cpu/) as string },
    });
  });

  it('fails no request while its traffic changes', async () => {
    const { host, url } = await scoring.serve([digits, second]);
    const asking = Promise.all([askOften(url, 40), askOften(url, 40)]);
    for (let change = 0; change < 20; change++) {
      await host.traffic({ digits: { weights: { [change % 2 === 0 ? '1' : '2']: 1 } } });
    }
    for (const counts of await asking) expect((counts['1'] ?? 0) + (counts['2'] ?? 0)).toBe(40);
  });
});

async function shadowOf(host: ScoringHostProcess, settled: (shadow: Shadowed) => boolean): Promise<Shadowed> {
  const sum = { compared: 0, agreed: 0, disagreed: 0, shadowErrors: 0, dropped: 0, largestDifference: 0, samples: 0 };
  await expect
    .poll(
      async () => {
        const { modules } = await host.stats();
        for (const shadow of modules.flatMap((one: HostModuleStats) => one.shadow ?? [])) {
          sum.compared += shadow.compared;
          sum.agreed += shadow.agreed;
          sum.disagreed += shadow.disagreed;
          sum.shadowErrors += shadow.shadowErrors;
          sum.dropped += shadow.dropped;
          sum.largestDifference = Math.max(sum.largestDifference, shadow.largestDifference ?? 0);
          sum.samples += decodeSketch(shadow.shadowLatencyMs)?.count ?? 0;
        }
        return settled(sum);
      },
      { timeout: 20_000 },
    )
    .toBe(true);
  return sum;
}

interface Shadowed {
  compared: number;
  agreed: number;
  disagreed: number;
  shadowErrors: number;
  dropped: number;
  largestDifference: number;
  samples: number;
}

describe('a shadow version', () => {
  it('gets copies of live requests, never answers them, and is counted by whether it agrees', async () => {
    const shadow = { version: 2, rate: 1, compare: { kind: 'top-1', output: 'probabilities' } } as const;
    const { host, url } = await scoring.serve([digits, second], {
      traffic: { digits: { weights: { '1': 1 }, shadow } },
    });
    expect(await askOften(url, 10)).toEqual({ '1': 10 });
    const plain = await post(`${url}/score`, { image: [[digitRows()]] });
    expect([plain.status, versionOf(plain)]).toEqual([200, '1']);
    // Pinned requests are not copied.
    expect(versionOf(await ask(url, { 'flotilla-version': '1' }))).toBe('1');
    expect(versionOf(await post(`${url}/v2/models/digits/versions/1/infer`, digit, json))).toBe('1');
    const seen = await shadowOf(host, ({ compared, dropped }) => compared + dropped >= 11);
    expect(seen).toMatchObject({ compared: 11, agreed: 11, dropped: 0, shadowErrors: 0, samples: 11 });
    expect(seen.largestDifference).toBeGreaterThan(0);
    const report = await (await fetch(`${url}/v2/models/digits/shadow`)).json();
    expect(report).toMatchObject({ name: 'digits', version: '2', compared: 11, agreement: 1, disagreed: 0 });
    // Its own counts are of live requests only.
    expect((await host.stats()).modules.find(({ version }) => version === 2)?.requests).toBe(0);
  });

  it('disagrees where the rule is tighter than the versions are', async () => {
    const compare = { kind: 'tolerance', absolute: 0, relative: 0 } as const;
    const { host, url } = await scoring.serve([digits, second], {
      traffic: { digits: { weights: { '1': 1 }, shadow: { version: 2, rate: 1, compare } } },
    });
    await askOften(url, 3);
    expect(await shadowOf(host, ({ compared }) => compared === 3)).toMatchObject({ agreed: 0, disagreed: 3 });
    const other = await fetch(`${url}/v2/models/cats/shadow`);
    expect(other.status).toBe(404);
  });

  it('that refuses every request and has room for few fails no live one: copies are dropped and counted', async () => {
    const folder = await scoring.folder();
    await writeFile(join(folder, 'slow.onnx'), convolutionModel({ layers: 12, channels: 48, size: 48, halveEvery: 0 }));
    const slow = hostedModule(folder, 'slow.onnx', { name: 'digits', version: 2 });
    const { host, url } = await scoring.serve([digits, slow], {
      traffic: { digits: { weights: { '1': 1 }, shadow: { version: 2, rate: 1, maxWaiting: 2 } } },
    });
    const answers = await Promise.all(Array.from({ length: 40 }, () => ask(url)));
    expect(answers.map((answer) => `${String(answer.status)} ${String(versionOf(answer))}`)).toEqual(
      Array.from({ length: 40 }, () => '200 1'),
    );
    const seen = await shadowOf(host, ({ shadowErrors, dropped }) => shadowErrors + dropped >= 40);
    expect(seen.shadowErrors + seen.dropped).toBe(40);
    expect(seen.shadowErrors).toBeGreaterThan(0);
    expect(seen.dropped).toBeGreaterThan(0);
    expect(seen.compared).toBe(0);
  });

  it('with user code whose process is not there is counted as failing, and fails no live request', async () => {
    const folder = await scoring.folder();
    const script = { ...second, scriptSocket: join(folder, 'nobody.sock') };
    const { host, url } = await scoring.serve([digits, script], {
      traffic: { digits: { weights: { '1': 1 }, shadow: { version: 2, rate: 1 } } },
    });
    expect(await askOften(url, 5)).toEqual({ '1': 5 });
    expect(await shadowOf(host, ({ shadowErrors }) => shadowErrors === 5)).toMatchObject({ compared: 0, dropped: 0 });
  });
});

function digitRows(): number[][] {
  const [image] = (JSON.parse(digit) as { inputs: { data: number[] }[] }).inputs;
  return Array.from({ length: 8 }, (_, row) => (image?.data ?? []).slice(row * 8, row * 8 + 8));
}
