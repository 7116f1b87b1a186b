/** A fleet in a database, a release for it, and devices that answer as the test says. */
import { randomUUID } from 'node:crypto';
import { restartPolicySchema, updatePolicySchema } from '#shared/protocol/desired.js';
import { DeviceFacts } from '#cloud/fleet/device-facts.js';
import type { Database } from '#cloud/fleet/device-repository.js';
import { type Fleet, FleetRepository } from '#cloud/fleet/fleet-repository.js';
import { ReleaseRepository } from '#cloud/fleet/release-repository.js';
import { ShadowTwin } from '#cloud/fleet/shadow-twin.js';
import { Twin } from '#cloud/fleet/twin.js';
import type { ControlStore } from '#cloud/store/control-database.js';
import { GateReader } from '#cloud/rollout/gates/gate-reader.js';
import { GateWatch } from '#cloud/rollout/gates/gate-watch.js';
import { ShadowPhase } from '#cloud/rollout/shadow/shadow-phase.js';
import { RolloutController } from '#cloud/rollout/controller.js';
import { rolloutPolicySchema } from '#cloud/rollout/policy.js';
import { RolloutDevices } from '#cloud/rollout/rollout-devices.js';
import { RolloutOffice } from '#cloud/rollout/rollout-office.js';
import { RolloutRepository, type StoredRollout } from '#cloud/rollout/rollout-repository.js';
import { noNumbers } from '#cloud/telemetry/cohort-numbers.js';
import type { TelemetryPort } from '#cloud/telemetry/telemetry-port.js';
import { addressOf, bytesOf, FleetWorld, silent } from '#test/support/fleet-world.js';

export class RolloutFleet {
  readonly rollouts: RolloutRepository;
  readonly rows: RolloutDevices;
  readonly office: RolloutOffice;
  /** Nobody has told anything, until a test puts a store here. */
  telemetry: Pick<TelemetryPort, 'cohort' | 'shadows'> = {
    cohort: async () => noNumbers(),
    shadows: async () => ({ sum: undefined, told: 0 }),
  };

  /** In every report. */
  says: object = {};

  private constructor(
    readonly world: FleetWorld,
    readonly fleet: Fleet,
  ) {
    const { control: db, live, clock } = world;
    this.rollouts = new RolloutRepository(db);
    this.rows = new RolloutDevices(db);
    this.office = new RolloutOffice({ db, live, clock, onChanged: () => undefined });
  }

  /** `count` devices d0, d1 …, online, and the releases vision:1 to vision:3. */
  static async open(count: number): Promise<RolloutFleet> {
    const world = await FleetWorld.open();
    await world.control.transaction().execute(async (control) => {
      for (let index = 0; index < count; index++) await addDevice({ control }, `d${String(index)}`);
    });
    await new DeviceFacts(world.control).bringUpToDate();
    const releases = new ReleaseRepository(world.control);
    for (const version of [1, 2, 3]) {
      await world.addImage('detector', version, [bytesOf(10, version)]);
      await releases.create('w', releaseOf(version), '2026-01-01T00:00:00.000Z');
    }
    const fleet = await new FleetRepository(world.control).create(
      'w',
      'all',
      'name ~ "d*"',
      '',
      '2026-01-01T00:00:00.000Z',
    );
    return new RolloutFleet(world, fleet);
  }

  start(release: string, policy: object = {}, supersede = false): Promise<StoredRollout> {
    const order = { release, fleet: this.fleet, policy: rolloutPolicySchema.parse(policy), supersede, by: 'somebody' };
    return this.office.start('w', order);
  }

  /** A control plane that has just started over this database. @param db one that fails, say */
  controller(db: Database = this.world.control): RolloutController {
    const { devices, deployments, outbox, signer, clock, live } = this.world;
    const onCommitted = (): void => undefined;
    const parts = { devices, deployments, outbox, director: signer, clock, live, onCommitted };
    const twin = new Twin({ db, ...parts, newId: randomUUID });
    const releases = new ReleaseRepository(db as ControlStore);
    const gates = new GateWatch(new GateReader(db, this.telemetry), clock, silent);
    const shadowing = new ShadowTwin({ db, twin, clock, onCommitted });
    const { telemetry } = this;
    const shadows = new ShadowPhase({ db, twin: shadowing, releases, telemetry, clock, logger: silent });
    return new RolloutController({ db, releases, twin, gates, shadows, live, clock, logger: silent, onCommitted });
  }

  /** The same database, but whoever asks it is cut off at its n-th question. */
  failingAt(n: number): { readonly db: Database; readonly failed: () => boolean } {
    let asked = 0;
    const db = this.world.control.withPlugin({
      transformQuery: ({ node }) => {
        asked += 1;
        if (asked >= n) throw new Error('killed');
        return node;
      },
      transformResult: async ({ result }) => result,
    });
    return { db, failed: () => asked >= n };
  }

  /** Looks once, and does all that is to be done now. */
  async turn(db?: Database): Promise<void> {
    const controller = this.controller(db);
    controller.wake();
    await controller.idle();
    await controller.stop();
  }

  async standings(number = 1): Promise<Record<string, string>> {
    const rows = await this.world.control
      .selectFrom('rolloutDevices')
      .select(['device', 'standing'])
      .where('rollout', '=', number)
      .orderBy('device')
      .execute();
    return Object.fromEntries(rows.map(({ device, standing }) => [device, standing]));
  }

  async state(number = 1): Promise<string> {
    return (await this.rollouts.require({ workspace: 'w', number })).rollout.state;
  }

  async withStanding(standing: string, number = 1): Promise<string[]> {
    return Object.entries(await this.standings(number)).flatMap(([device, one]) => (one === standing ? [device] : []));
  }

  async desired(device: string): Promise<{ generation: number; release: string }> {
    const row = await this.world.devices.find(addressOf(device));
    return { generation: row?.desiredGeneration ?? -1, release: row?.desiredRelease ?? '' };
  }

  /** The devices run what they are asked, and say so. */
  async obey(...devices: readonly string[]): Promise<void> {
    for (const device of devices) {
      const { generation } = await this.desired(device);
      await this.report(device, { generation, converged: true, modules: {} });
    }
  }

  /** The device rejects what it is asked. */
  async reject(device: string, code = 'golden.mismatch'): Promise<void> {
    const { generation } = await this.desired(device);
    const [deployed] = await this.world.deployments.listCurrentOf(addressOf(device));
    const digest = deployed?.image.digest;
    const reason = { code, message: 'not like that' };
    const modules = { detector: { candidate: { digest, version: 2, state: 'rejected', reason } } };
    await this.report(device, { generation, converged: false, modules });
  }

  async report(device: string, state: object): Promise<void> {
    await this.world.devices.update(addressOf(device), { reportedJson: JSON.stringify({ ...this.says, ...state }) });
  }

  close(): Promise<void> {
    return this.world.close();
  }
}

function releaseOf(version: number): Parameters<ReleaseRepository['create']>[1] {
  const module = {
    ...{ image: `detector:${String(version)}`, settings: {}, requires: {} },
    ...{ policy: restartPolicySchema.parse({}), update: updatePolicySchema.parse({}) },
  };
  return { name: 'vision', description: '', atomic: false, modules: { detector: module } } as never;
}

export async function addDevice({ control }: Pick<FleetWorld, 'control'>, name: string): Promise<void> {
  await control
    .insertInto('devices')
    .values({
      ...{ workspace: 'w', name, sealingKey: '', tagsJson: '{}', enrolledAt: '2026-01-01T00:00:00.000Z' },
      ...{ presenceAt: null, presenceBootId: 0, desiredGeneration: 0, desiredEnvelope: null, desiredExpiresAt: null },
      ...{ reportedJson: '{"generation":0,"converged":false,"modules":{}}', reportedBootId: 0, reportedSequence: 0 },
      ...{ reportedAt: null, retiredAt: null, online: 1 },
    })
    .execute();
}
