/** Numbers of deployments where people and programs look for numbers: beside those of devices, and never taken for theirs. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { EncodedSummary } from '#shared/protocol/summary.js';
import type { ModuleMetrics } from '#shared/protocol/stream.js';
import type { CompareBody } from '#cloud/http/schemas/compare.js';
import type { SeriesBody, TelemetryBody } from '#cloud/http/schemas/telemetry.js';
import { fillWithDevices } from '#test/support/many-devices.js';
import { EndpointWorld } from '#test/support/services/endpoint-world.js';
import { metricsOf, SayingDevice, sketchOf } from '#test/support/telemetry-batches.js';
import { temporaryFolder } from '#test/support/temporary-folder.js';

const folder = temporaryFolder();
let world: EndpointWorld;
let digests: readonly [string, string];

const labels = (a: number, b: number): EncodedSummary => ({
  kind: 'categories',
  missing: 0,
  counts: { a, b },
  other: 0,
});
const told = (input: EncodedSummary, output: EncodedSummary): NonNullable<ModuleMetrics['tensors']> => ({
  samples: 600,
  inputs: { pixels: input },
  outputs: { label: output },
});
const many = (ms: number): number[] => new Array<number>(600).fill(ms);

beforeAll(async () => {
  world = await EndpointWorld.open(folder('data'));
  digests = [await world.addImage('digits', 1), await world.addImage('digits', 2)];
  await world.trust();
  await fillWithDevices(world.parts.ground.control, { devices: 3, rollouts: 0, commands: 0 });
  await world.json('endpoint', 'create', 'fraud');
  const create = ['--endpoint', 'fraud', '--replicas', '1'];
  await world.json('deployment', 'create', 'blue', '--image', 'digits:1', ...create, '--all-traffic');
  await world.json('deployment', 'create', 'green', '--image', 'digits:2', ...create);
  await world.json('fleet', 'create', 'line-3', '--where', 'name ~ "d*"');

  const now = Date.now();
  const [first, second] = digests;
  const shadow = {
    ...{ digest: second, version: 2, tag: 'mirror-green', compared: 200, agreed: 190, uncompared: 1, liveErrors: 0 },
    ...{ shadowErrors: 3, dropped: 4, liveLatencyMs: sketchOf(2), shadowLatencyMs: sketchOf(3) },
  };
  const errors = { 'score.failed': 6 };
  const tensors = told(labels(300, 300), labels(590, 10));
  const blue = metricsOf(many(4), { digest: first, errors, tensors, shadow, provider: 'cpu' });
  const green = metricsOf(many(8), { digest: second, version: 2 });
  const stages = { queueMs: sketchOf(...many(1)), computeMs: sketchOf(...many(2)) };
  const device = metricsOf(many(3), { digest: first, stages, tensors: told(labels(300, 300), labels(300, 300)) });
  await world.parts.telemetry.ingest([
    new SayingDevice('fraud/blue', 'default').telemetry(now, { digits: blue }),
    new SayingDevice('fraud/green', 'default').telemetry(now, { digits: green }),
    new SayingDevice('d00000', 'default').telemetry(now, { digits: device }),
  ]);
}, 60_000);
afterAll(() => world.stop());

describe('numbers of a deployment', () => {
  it('are shown as those of a device are, also once it is gone, and not where there never was one', async () => {
    const { stdout } = await world.run('telemetry', 'fraud/blue', '--since', '1h');
    expect(stdout).toMatch(/^deployment +fraud\/blue$/m);
    expect(stdout).toMatch(/digits:1 +cpu +600 +score\.failed 6/);
    const body = await world.json<TelemetryBody>('telemetry', 'fraud/green', '--since', '1h');
    expect(body.modules).toMatchObject([{ digest: digests[1], requests: 600, latencyMs: { max: 8 } }]);
    expect(await world.run('telemetry', 'fraud/bleu')).toMatchObject({ exit: 4 });
    expect((await world.run('telemetry', 'fraud/bleu')).stderr).toContain('did you mean blue?');
    expect((await world.run('telemetry', 'fraud/blue/')).stderr).toContain('no name of a deployment');
  });

  it('are a line each of a metric, of one endpoint or of all that there is', async () => {
    const of = async (...flags: string[]): Promise<string[]> => {
      const series = await world.json<SeriesBody>('telemetry', '--metric', 'requests', '--by', 'device', ...flags);
      return series.series.map(({ name, samples }) => `${name} ${String(samples)}`);
    };
    expect(await of()).toEqual(['d00000 600', 'fraud/blue 600', 'fraud/green 600']);
    expect(await of('--endpoint', 'fraud')).toEqual(['fraud/blue 600', 'fraud/green 600']);
    expect(await of('--endpoint', 'frau')).toEqual([]);
    const agreement = await world.json<SeriesBody>('telemetry', 'fraud/blue', '--metric', 'shadow.agreement');
    expect(agreement.series[0]?.values.at(-1)).toBe(0.95);
    const cpu = await world.run('telemetry', '--metric', 'cpu', '--endpoint', 'fraud');
    expect(cpu.stderr).toContain('an endpoint runs on none');
  });

  it('are told to Prometheus by the front, as long as it answers', async () => {
    world.host.counted = [
      {
        ...{ name: 'flotilla_endpoint_requests_total', help: 'Requests.', type: 'counter' },
        samples: [{ labels: { endpoint: 'fraud', deployment: 'blue' }, value: 600 }],
      },
    ];
    const headers = { authorization: `Bearer ${world.parts.token}` };
    const scrape = async (): Promise<string> => (await fetch(`${world.parts.url}/metrics`, { headers })).text();
    const page = await scrape();
    expect(page).toContain('flotilla_endpoint_requests_total{endpoint="fraud",deployment="blue"} 600');
    world.host.counted = undefined;
    expect(await scrape()).not.toContain('flotilla_endpoint');
  });

  it('say beside the mirror how its answers agreed', async () => {
    await world.json('endpoint', 'traffic', 'fraud', '--mirror', 'green=20', '--compare', 'top-1:label');
    const { stdout } = await world.run('endpoint', 'show', 'fraud');
    expect(stdout).toMatch(/^mirror +green=20, compared by top-1$/m);
    expect(stdout).toMatch(
      /^agreement +95 % of 200 answers in the last hour, 1 could not be compared, 3 it alone failed on, 4 dropped$/m,
    );
    const refused = await world.run('endpoint', 'traffic', 'fraud', 'blue=100', '--compare', 'top-1');
    expect(refused.stderr).toContain('--compare goes with --mirror');
  });
});

describe('flotilla compare', () => {
  it('shows one image at an endpoint and on a fleet: the very same release, its numbers, and what is apart', async () => {
    const compared = await world.json<CompareBody>(
      ...['compare', 'digits:1', '--endpoint', 'fraud', '--fleet', 'line-3', '--since', '1h'],
    );
    expect(compared).toMatchObject({
      digests: [digests[0]],
      release: 'same',
      sides: [
        { kind: 'endpoint', name: 'fraud', asked: 2, told: 1, requests: 600, errorShare: 0.01, latencyMs: { max: 4 } },
        { kind: 'devices', name: 'fleet line-3', asked: 3, told: 1, requests: 600, computeMs: { max: 2 } },
      ],
      notes: [],
    });
    const [input, output] = compared.drift;
    expect([input?.tensor, input?.verdict, output?.tensor, output?.verdict]).toEqual([
      ...['input.pixels', 'alike', 'output.label', 'large'],
    ]);
    const { stdout } = await world.run('compare', 'digits:1', '--endpoint', 'fraud/blue', '--device', 'd00000');
    expect(stdout).toMatch(/^release +the very same on both sides$/m);
    expect(stdout).toMatch(/^errors +1\.00 % \(score\.failed 6\) +0\.00 %$/m);
    expect(stdout).toMatch(/^output\.label +\d\.\d{3} +600 +600 +much apart$/m);
  });

  it('counts answers to copies for the image that got them, and says where there is too little to compare', async () => {
    const compared = await world.json<CompareBody>(
      ...['compare', 'digits:2', '--endpoint', 'fraud', '--where', 'name ~ "d*"'],
    );
    expect(compared.release).toBe('unknown');
    expect(compared.sides[0]).toMatchObject({ requests: 600, copies: { compared: 200, agreement: 0.95, errors: 3 } });
    expect(compared.notes).toEqual(['no device of name ~ "d*" told anything of it in this span']);
    const missing = await world.run('compare', 'digits:9', '--endpoint', 'fraud', '--fleet', 'line-3');
    expect(missing.stderr).toContain('no image that carries a model digits:9');
    const both = await world.run('compare', 'digits:1', '--endpoint', 'fraud', '--fleet', 'a', '--device', 'b');
    expect(both.stderr).toContain('give one of --fleet, --where and --device');
  });
});
