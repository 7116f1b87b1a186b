/** Metrics of the fleet on their way to an OpenTelemetry collector: over HTTP, read by OpenTelemetry's own definitions. */
import { execFile } from 'node:child_process';
import { chmod, writeFile } from 'node:fs/promises';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gunzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Metrics } from '#cloud/http/metrics.js';
import { FleetMetrics } from '#cloud/telemetry/fleet-metrics.js';
import { FleetTotals } from '#cloud/telemetry/fleet-totals.js';
import { encodeMetrics } from '#cloud/telemetry/otlp/otlp-metrics.js';
import { OtlpExport } from '#cloud/telemetry/otlp/otlp-export.js';
import { readOtlpHeaders } from '#cloud/telemetry/otlp/otlp-headers.js';
import type { RolledUp } from '#cloud/telemetry/roll-up.js';
import { SetClock, silent } from '#test/support/fleet-world.js';
import { outsidePython } from '#test/support/outside-tool.js';
import { repository } from '#test/support/repository.js';
import { sketchOf, someDigest } from '#test/support/telemetry-batches.js';
import { temporaryFolder } from '#test/support/temporary-folder.js';

const folder = temporaryFolder();
let collector: Server;
let received: { headers: IncomingHttpHeaders; body: Buffer }[];
let status: number;
beforeEach(async () => {
  received = [];
  status = 200;
  collector = createServer((request, response) => {
    const pieces: Buffer[] = [];
    request.on('data', (piece: Buffer) => pieces.push(piece));
    request.on('end', () => {
      received.push({ headers: request.headers, body: Buffer.concat(pieces) });
      response.writeHead(status).end();
    });
  });
  await new Promise<void>((resolve) => collector.listen(0, '127.0.0.1', resolve));
});
afterEach(async () => {
  collector.closeAllConnections();
  await new Promise((resolve) => collector.close(resolve));
});

const clock = new SetClock();
function exportTo(totals: FleetTotals, metrics = new Metrics()): OtlpExport {
  const url = `http://127.0.0.1:${String((collector.address() as AddressInfo).port)}/v1/metrics`;
  const exports = metrics.counter('exports', 'x');
  return new OtlpExport({ url, headers: { 'x-key': 'k' }, totals, version: '1.2.3', clock, logger: silent, exports });
}

const summed = (device: string, latencies: readonly number[]): RolledUp => ({
  modules: [],
  minutes: [
    {
      ...{ workspace: 'w', device, module: 'digits', version: 2, digest: someDigest, provider: 'cpu', resolution: 60 },
      ...{ startAt: clock.now(), requests: latencies.length + 1, errors: { 'score.timeout': 1 }, detail: {} },
      latency: sketchOf(...latencies),
    },
  ],
  machines: [
    {
      ...{ workspace: 'w', device, startAt: clock.now() },
      gauges: { cpu: { count: 2, sum: 1, min: 0.25, max: 0.75 }, 'agent-memory': { count: 1, sum: 9, min: 9, max: 9 } },
    },
  ],
  caughtUp: true,
});

interface Told {
  readonly resource_metrics: {
    readonly scope_metrics: { readonly scope: object; readonly metrics: { readonly name: string }[] }[];
  }[];
}

describe('metrics for a collector', () => {
  it('are what OpenTelemetry reads as sums, histograms and gauges', async () => {
    const totals = new FleetTotals(clock.now() - 60_000);
    totals.add(summed('cam-1', [0.3, 20]));
    totals.add(summed('cam-1', [20_000]));
    await exportTo(totals).run();
    const [{ headers, body } = { headers: {}, body: Buffer.of() }] = received;
    expect(headers).toMatchObject({ 'content-type': 'application/x-protobuf', 'x-key': 'k' });
    const path = folder('request.bin');
    await writeFile(path, gunzipSync(body));
    const program = join(repository, 'test/support/outside/otlp.py');
    const { stdout } = await promisify(execFile)(outsidePython(), [program, path]);
    const [{ scope_metrics: [scope] = [] } = { scope_metrics: [] }] = (JSON.parse(stdout) as Told).resource_metrics;
    const metrics = new Map((scope?.metrics ?? []).map((metric) => [metric.name, metric]));
    expect(scope?.scope).toEqual({ name: 'flotilla', version: '1.2.3' });
    const names = ['workspace', 'device', 'module', 'version'].map((name, index) => ({
      key: `flotilla.${name}`,
      value: { string_value: ['w', 'cam-1', 'digits', '2'][index] },
    }));
    const time = {
      start_time_unix_nano: `${String(clock.now() - 60_000)}000000`,
      time_unix_nano: `${String(clock.now())}000000`,
    };
    const cumulative = { aggregation_temporality: 'AGGREGATION_TEMPORALITY_CUMULATIVE' };
    expect(metrics.get('flotilla.module.requests')).toMatchObject({
      unit: '{request}',
      sum: { ...cumulative, is_monotonic: true, data_points: [{ ...time, as_double: 5, attributes: names }] },
    });
    const ofCode = [...names, { key: 'error.type', value: { string_value: 'score.timeout' } }];
    expect(metrics.get('flotilla.module.errors')).toMatchObject({
      sum: { data_points: [{ as_double: 2, attributes: ofCode }] },
    });
    const point = { ...time, count: '3', attributes: names };
    expect(metrics.get('flotilla.module.latency')).toMatchObject({
      unit: 's',
      histogram: { ...cumulative, data_points: [{ ...point, sum: 20.0203 }] },
    });
    const counts = JSON.stringify(metrics.get('flotilla.module.latency'));
    expect(counts).toContain(
      `"bucket_counts":${JSON.stringify(Array.from({ length: 16 }, (_, at) => ([1, 6, 15].includes(at) ? '1' : '0')))}`,
    );
    expect(metrics.get('flotilla.device.cpu')).toMatchObject({ gauge: { data_points: [{ as_double: 0.5 }] } });
    expect(metrics.get('flotilla.device.agent.memory')).toMatchObject({ unit: 'By' });
    expect(metrics.has('flotilla.device.temperature')).toBe(false);
  });

  it('are cut into requests of a bounded size, and sent anew after a failure, counts whole', async () => {
    const totals = new FleetTotals(clock.now());
    for (let n = 0; n < 1001; n++) totals.add(summed(`d-${String(n)}`, [1]));
    const metrics = new Metrics();
    const sending = exportTo(totals, metrics);
    status = 503;
    await sending.run();
    status = 200;
    await sending.run();
    expect(received).toHaveLength(1 + 3);
    expect(await metrics.render()).toMatch(/exports\{outcome="failed"\} 1\nexports\{outcome="taken"\} 3/);
    await exportTo(new FleetTotals(0)).run();
    expect(received).toHaveLength(4);
  });

  it('name a deployment by its endpoint, and not as a device', () => {
    const totals = new FleetTotals(0);
    totals.add(summed('fraud/blue', [1]));
    const text = encodeMetrics(totals.modules(), [], { sinceMs: 0, nowMs: 1, version: '1' }).toString('latin1');
    expect(text).toMatch(/flotilla\.endpoint[^a-z]+fraud[^/]*flotilla\.deployment[^a-z]+blue/);
    expect(text).not.toContain('flotilla.device');
  });

  it('tell of no device that has been silent for long', () => {
    const totals = new FleetTotals(clock.now());
    totals.add(summed('cam-1', [1]));
    expect(totals.machines(clock.now())).toHaveLength(1);
    expect(totals.machines(clock.now() + 16 * 60_000)).toHaveLength(0);
  });
});

describe('the same for Prometheus', () => {
  it('are counts and a histogram by workspace, module and version', async () => {
    const metrics = new Metrics();
    const fleet = new FleetMetrics(metrics);
    for (const device of ['a', 'b']) fleet.add(summed(device, [0.3, 20_000]).minutes);
    const text = await metrics.render();
    const labels = 'workspace="w",module="digits",version="2"';
    expect(text).toContain(`flotilla_module_requests_total{${labels}} 6\n`);
    expect(text).toContain(`flotilla_module_errors_total{${labels},code="score.timeout"} 2\n`);
    expect(text).toContain(`flotilla_module_latency_seconds_bucket{${labels},le="0.0005"} 2\n`);
    expect(text).toContain(`flotilla_module_latency_seconds_bucket{${labels},le="10"} 2\n`);
    expect(text).toContain(`flotilla_module_latency_seconds_bucket{${labels},le="+Inf"} 4\n`);
    expect(text).toContain(`flotilla_module_latency_seconds_count{${labels}} 4\n`);
  });
});

describe('header fields for the collector', () => {
  it.each([
    ['authorization: Bearer x', { authorization: 'Bearer x' }],
    ['X-Scope-OrgID: plant', { 'x-scope-orgid': 'plant' }],
    ['host: elsewhere', /host is not to be set/],
    ['"a b": c', /"a b" is no header field/],
    ['a: 1', /"a" is no header field with a text/],
    ['a: "x\\r\\nb: y"', /"a" is no header field/],
    ['- a', /must map names of header fields/],
    ['a: [', /line \d+ is not YAML/],
  ])('as in %s', async (text, expected) => {
    const path = folder('headers.yaml');
    await writeFile(path, text);
    await chmod(path, 0o600);
    const read = readOtlpHeaders(path);
    if (expected instanceof RegExp) await expect(read).rejects.toThrow(expected);
    else expect(await read).toEqual(expected);
  });
});
