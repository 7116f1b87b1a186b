/** Traffic of a web service of built programs goes over to other versions, a worse and a better one, while it is asked without end. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { EndpointStatusBody } from '#cloud/http/schemas/endpoints.js';
import type { ShiftDetail, ShiftHistoryBody } from '#cloud/http/schemas/shifts.js';
import { liveRequests, type Make, writeGateModule } from '#test/support/gate-models.js';
import { LiveInput } from '#test/support/live-input.js';
import { ownPort } from '#test/support/own-port.js';
import { closeWorld } from '#test/support/services/web-service.js';
import { World } from '../support/world.js';

const deployments = { blue: 'good', worse: 'failing', better: 'better' } as const satisfies Record<string, Make>;
const endpoint = 'pictures';
const steps = 'steps: [{ percent: 40, bakeSeconds: 0 }, { percent: 100, bakeSeconds: 0 }]';
const errors = 'gates: { errors: { kind: errors, maxPercent: 20, minSamples: 30 } }';
const copies = 'mirror: { percent: 50, seconds: 0, minCompared: 30, minAgreement: 80, maxErrorPercent: 20 }';

/** Two of three pictures are too bright for the worse one. */
const requests = (): Buffer[] => {
  const all = liveRequests();
  const bright = all[49] ?? Buffer.alloc(0);
  return all.slice(0, 12).map((one, index) => (index % 3 === 0 ? one : bright));
};

interface Shown extends ShiftDetail {
  readonly history: readonly ShiftHistoryBody[];
}

describe('an endpoint that is asked without end', () => {
  let world: World;
  let inputs: LiveInput[] = [];

  /** @returns what it says of itself when it is over */
  const shift = async (to: keyof typeof deployments, policy: string): Promise<Shown> => {
    const file = join(world.folder, `${to}.yaml`);
    await writeFile(file, policy);
    await world.flotilla('endpoint', 'shift', 'start', endpoint, '--to', to, '--policy', file);
    return until('the end of a shift', async () => {
      const shown = (await world.flotillaJson('endpoint', 'shift', 'show', endpoint)) as Shown;
      return shown.endedAt === undefined ? undefined : shown;
    });
  };
  const until = async <T>(what: string, look: () => Promise<T | undefined>): Promise<T> => {
    if (!world.cloud) throw new Error('the control plane is not there');
    return world.cloud.until(what, 150_000, look);
  };

  beforeAll(async () => {
    const port = String(await ownPort());
    const cloud = () => ({ FLOTILLA_SERVICES_PORT: port, FLOTILLA_SERVICES_TLS: 'off' });
    world = await World.create({ cloud, operatorInProcess: true });
    await world.open();
    await world.flotilla('trust', 'propose', '--publish');
    await world.flotilla('endpoint', 'create', endpoint, '--auth', 'none');
    for (const [index, [name, make]] of Object.entries(deployments).entries()) {
      await writeGateModule(join(world.folder, make), make);
      await world.flotilla('image', 'build', join(world.folder, make));
      const image = ['--image', `pictures:${String(index + 1)}`, '--concurrency', '64'];
      // A shift waits for who is to take over.
      const how = name === 'blue' ? '--all-traffic' : '--no-wait';
      await world.flotilla('deployment', 'create', name, '--endpoint', endpoint, ...image, how);
    }
    const { status } = (await world.flotillaJson('endpoint', 'show', endpoint)) as { status: EndpointStatusBody };
    const url = (status.scoreUrl ?? '').replace(/score$/, 'v2/models/pictures/infer');
    inputs = Array.from({ length: 4 }, () => new LiveInput(url, requests(), 10));
  });
  afterAll(async () => {
    await Promise.all(inputs.map((input) => input.stop()));
    await closeWorld(world);
  });

  it('goes back at once from a version that fails, by its gate, with the numbers', async () => {
    const { state, reason, set, gates, history } = await shift('worse', `${steps}\n${errors}\n`);
    expect({ state, gates: reason?.gates, traffic: set.traffic }).toEqual({
      ...{ state: 'returned', gates: ['errors'], traffic: { blue: 100 } },
    });
    expect(reason?.text).toMatch(/^gate errors: errors of pictures is [0-9.]+%, more than 20%, of \d+; at 40%$/);
    expect(gates).toMatchObject([{ stage: 1, gate: 'errors', verdict: 'fail', module: 'pictures', told: 1 }]);
    expect(gates[0]?.value).toBeGreaterThan(0.2);
    expect(history[0]?.text).toMatch(/back to blue=100$/);
    expect(await world.flotilla('endpoint', 'show', endpoint)).toMatch(/traffic +blue=100\n/);
  });

  it('comes to be answered by a version that is as good: first by copies, then step by step', async () => {
    const { state, set, gates, history } = await shift('better', `${copies}\n${steps}\n${errors}\n`);
    expect({ state, traffic: set.traffic }).toEqual({ state: 'succeeded', traffic: { better: 100 } });
    expect(gates.map(({ stage, gate, verdict }) => `${String(stage)} ${gate} ${verdict}`)).toEqual([
      ...['1 shadow pass', '1 shadow-errors pass', '2 errors pass', '3 errors pass'],
    ]);
    const weights = history.filter(({ kind }) => kind === 'step').map(({ text }) => text.replace(/^.*: /, ''));
    expect(weights.toReversed()).toEqual(['blue=100 mirror better=50', 'better=40 blue=60', 'better=100']);
  });
});
