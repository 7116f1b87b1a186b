import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RolloutBody, RolloutGates } from '#cloud/http/schemas/rollouts.js';
import { liveRequests, makes, writeGateModule } from '#test/support/gate-models.js';
import { LiveInput } from '#test/support/live-input.js';
import { ownProcessor } from '#test/support/own-processor.js';
import { ownPort } from '#test/support/own-port.js';
import { World } from '../support/world.js';

const agentPrefix = ownProcessor();
// Where that is not to be had, what else the machine does decides over the slowest answers.
const quantile = agentPrefix.length > 0 ? 0.99 : 0.5;
const policy = `waves: [{ count: 1 }]
maxUnavailable: 100%
onFailure: rollback
gates:
  speed: { kind: latency, quantile: ${String(quantile)}, maxRatio: 1.8, minSamples: 100, reference: peers }
  errors: { kind: errors, maxPercent: 0.6, minSamples: 100, confidence: 0.8 }
  classes: { kind: drift, module: pictures, tensor: output.label, maxPsi: 0.25, minSamples: 100 }
`;
const names = ['cam-1', 'cam-2', 'cam-3'] as const;

describe('a release that installs everywhere, on devices that are asked without end', () => {
  let world: World;
  let ports: number[];
  let inputs: LiveInput[] = [];

  const until = async <T>(what: string, look: () => Promise<T | undefined>): Promise<T> => {
    const daemon = world.cloud;
    if (!daemon) throw new Error('the control plane is not there');
    return daemon.until(what, 150_000, look);
  };
  const read = async <T>(path: string): Promise<T> => {
    const headers = { authorization: `Bearer ${world.ownerToken}` };
    return (await (await fetch(`${world.url}/v1/workspaces/default/rollouts/${path}`, { headers })).json()) as T;
  };
  /** @returns how it ended */
  const roll = async (version: number, ...more: readonly string[]): Promise<RolloutBody> => {
    const release = `pictures:${String(version)}`;
    const started = await world.flotillaJson('rollout', 'start', '--release', release, '--fleet', 'all', ...more);
    const { number } = started as RolloutBody;
    return until('the end of a rollout', async () => {
      const body = await read<RolloutBody>(String(number));
      return body.endedAt === undefined ? undefined : body;
    });
  };
  const rollGated = async (version: number): Promise<RolloutBody & { readonly gates: RolloutGates['items'] }> => {
    const body = await roll(version, '--policy', join(world.folder, 'policy.yaml'));
    const { items } = await read<RolloutGates>(`${String(body.number)}/gates`);
    return { ...body, gates: items };
  };

  beforeAll(async () => {
    world = await World.create({ agentPrefix, operatorInProcess: true });
    await writeFile(join(world.folder, 'policy.yaml'), policy);
    await world.open();
    ports = await Promise.all(names.map(() => ownPort()));
    const agents = Promise.all(
      names.map(async (name, index) => {
        await world.enrol(name);
        await world.startAgent(name, ports[index] ?? 0);
      }),
    );
    for (const make of makes) {
      await writeGateModule(join(world.folder, make), make);
      await world.flotilla('image', 'build', join(world.folder, make));
    }
    await agents;
    for (const [index] of makes.entries()) {
      await world.flotilla('release', 'create', 'pictures', '--module', `pictures:${String(index + 1)}`);
    }
    await world.flotilla('fleet', 'create', 'all', '--where', 'site = "lab"');
    expect(await roll(1)).toMatchObject({ state: 'succeeded' });
    const requests = liveRequests();
    inputs = ports.map((port) => {
      return new LiveInput(`http://127.0.0.1:${String(port)}/v2/models/pictures/infer`, requests, 16);
    });
    await until('what all are compared with', async () =>
      inputs.every(({ answered }) => answered > 150) ? true : undefined,
    );
  });
  afterAll(async () => {
    await Promise.all(inputs.map((input) => input.stop()));
    await world.close();
  });

  it.each([
    { version: 2, gate: 'classes', what: 'is led astray by what cameras see, though its golden vectors are right' },
    { version: 3, gate: 'speed', what: 'takes three times as long' },
    { version: 4, gate: 'errors', what: 'fails on two inputs of a hundred' },
  ])('is led back from the canary by the gate $gate when it $what', async ({ version, gate }) => {
    const { number, state, reason, waves, gates } = await rollGated(version);
    expect({ state, gates: reason?.gates }).toEqual({ state: 'rolled-back', gates: [gate] });
    expect(waves.map(({ standings }) => standings)).toEqual([{ returned: 1 }, { cancelled: 2 }]);
    const failed = gates.find((one) => one.gate === gate);
    expect(failed).toMatchObject({ wave: 1, verdict: 'fail', module: 'pictures', told: 1, devices: 1 });
    expect(failed?.value).toBeGreaterThan(failed?.bound ?? Number.NaN);
    const explained = await world.flotilla('rollout', 'explain', String(number));
    expect(explained).toMatch(new RegExp(`1 +${gate} .* fail\\n`));
  });

  it('goes over all of them when it is as good, wave after wave', async () => {
    const { state, reason, gates } = await rollGated(5);
    expect({ state, reason }).toEqual({ state: 'succeeded' });
    expect(gates.map(({ wave, gate, verdict }) => `${String(wave)} ${gate} ${verdict}`)).toEqual([
      ...['1 classes pass', '1 errors pass', '1 speed pass'],
      ...['2 classes pass', '2 errors pass', '2 speed pass'],
    ]);
  });
});
