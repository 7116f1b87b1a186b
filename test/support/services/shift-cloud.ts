/**
 * One endpoint, `fraud`, with the deployments `blue` and `green`, in a real control database and a real telemetry store;
 * time, the service host and what deployments tell are the test's.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ShadowMetrics } from '#shared/protocol/shadow.js';
import type { ModuleMetrics } from '#shared/protocol/stream.js';
import type { Database } from '#cloud/fleet/device-repository.js';
import { LiveEvents } from '#cloud/live/live-events.js';
import type { Traffic } from '#cloud/services/control/endpoint-model.js';
import { serviceSettingsSchema } from '#cloud/services/control/endpoint-model.js';
import { EndpointOffice } from '#cloud/services/control/endpoint-office.js';
import { EndpointRepository } from '#cloud/services/control/endpoint-repository.js';
import { ServiceDeploymentRepository } from '#cloud/services/control/service-deployment-repository.js';
import { ServicesDocument } from '#cloud/services/control/services-document.js';
import { mirrorTag, sourceOf } from '#cloud/services/service-source.js';
import type { DeploymentStatus, ServicesStatus } from '#cloud/services/services-status.js';
import type { ShiftOrder } from '#cloud/services/shift/apply.js';
import { ShiftController } from '#cloud/services/shift/shift-controller.js';
import { ShiftEvidence } from '#cloud/services/shift/shift-evidence.js';
import { ShiftOffice } from '#cloud/services/shift/shift-office.js';
import { shiftPolicySchema } from '#cloud/services/shift/shift-policy.js';
import { type ShiftEntry, ShiftRepository, type StoredShift } from '#cloud/services/shift/shift-repository.js';
import { type ControlStore, openControlDatabase } from '#cloud/store/control-database.js';
import { TelemetryRepository } from '#cloud/telemetry/telemetry-repository.js';
import { SetClock, silent } from '../fleet-world.js';
import { metricsOf, SayingDevice, sketchOf } from '../telemetry-batches.js';

const workspace = 'default';
const at = '2026-01-01T00:00:00.000Z';
const names = ['blue', 'green'] as const;
export type Color = (typeof names)[number];
const digests = { blue: `sha256:${'b'.repeat(64)}`, green: `sha256:${'c'.repeat(64)}` } as const;
const quiet = { requests: 0, errors: 0, rejected: 0, outstanding: 0 };

export class ShiftCloud {
  readonly clock = new SetClock();
  readonly live = new LiveEvents(() => undefined);
  /** Of green; healthy without anything said. */
  state: Pick<DeploymentStatus, 'state' | 'problem'> = { state: 'healthy' };
  hostAway = false;
  /** Resident bytes of a replica. */
  readonly memory: Record<Color, number> = { blue: 100e6, green: 100e6 };
  readonly id = 'e-1';
  private readonly sources = new Map(names.map((name) => [name, new SayingDevice(sourceOf('fraud', name), workspace)]));

  private constructor(
    readonly folder: string,
    readonly control: ControlStore,
    readonly telemetry: TelemetryRepository,
  ) {}

  static async open(): Promise<ShiftCloud> {
    const folder = await mkdtemp(join(tmpdir(), 'flotilla-shift-'));
    const control = await openControlDatabase(join(folder, 'control.db'));
    const cloud = new ShiftCloud(folder, control, await TelemetryRepository.open(join(folder, 'telemetry.db')));
    await cloud.fill();
    return cloud;
  }

  async close(): Promise<void> {
    await this.telemetry.close();
    await this.control.destroy();
    await rm(this.folder, { recursive: true });
  }

  document(db: Database = this.control): ServicesDocument {
    return new ServicesDocument({
      db,
      clock: this.clock,
      auth: () => ({ mode: 'none' }),
      onCommitted: () => undefined,
    });
  }

  endpoints(): EndpointOffice {
    const { control: db, clock } = this;
    return new EndpointOffice({ db, document: this.document(), clock, newId: () => this.id, enabled: true });
  }

  office(): ShiftOffice {
    const { control: db, clock, live } = this;
    return new ShiftOffice({ db, document: this.document(), live, clock, onChanged: () => undefined });
  }

  /** @param policy of steps without bake times, unless it says others */
  start(policy: object, to: Color = 'green'): Promise<StoredShift> {
    const steps = [10, 100].map((percent) => ({ percent, bakeSeconds: 0 }));
    return this.office().start(workspace, 'fraud', {
      to,
      policy: shiftPolicySchema.parse({ steps, ...policy }),
      by: 'ann',
    });
  }

  async order(order: ShiftOrder): Promise<StoredShift> {
    const endpoint = await new EndpointRepository(this.control).require(workspace, 'fraud');
    return this.office().order(endpoint, (await this.newest()).number, order, 'ann');
  }

  /** Looks once as after a start of the control plane, and does all that is to be done now. @returns the shift after it */
  async turn(db: Database = this.control): Promise<StoredShift> {
    const controller = this.controller(db);
    controller.wake();
    await controller.idle();
    await controller.stop();
    return this.newest();
  }

  controller(db: Database = this.control): ShiftController {
    const { clock, live, telemetry } = this;
    const host = async () => (this.hostAway ? undefined : { status: () => this.status() });
    const evidence = new ShiftEvidence(telemetry);
    const refresh = async (): Promise<void> => undefined;
    return new ShiftController({
      db,
      document: this.document(db),
      evidence,
      host,
      refresh,
      live,
      clock,
      logger: silent,
    });
  }

  async newest(): Promise<StoredShift> {
    const [found] = (await new ShiftRepository(this.control).list(this.id, { limit: 1 })).items;
    if (found === undefined) throw new Error('there is no shift');
    return found;
  }

  /** Oldest first, as `kind: text`. */
  async history(): Promise<string[]> {
    const { items } = await new ShiftRepository(this.control).history(await this.newest(), { limit: 100 });
    return items.toReversed().map(({ kind, text }: ShiftEntry) => `${kind}: ${text}`);
  }

  /** As the service host is told. */
  async traffic(): Promise<{ traffic: Traffic; mirror: string | undefined }> {
    const [endpoint] = (await this.document().current())?.endpoints ?? [];
    const { traffic = {}, mirror } = endpoint ?? {};
    return { traffic, mirror: mirror && `${mirror.deployment}=${String(mirror.percent)}` };
  }

  /** A deployment answered so many requests since it told last. */
  async tell(name: Color, requests: number, more: Partial<ModuleMetrics> = {}): Promise<void> {
    const metrics = metricsOf(new Array<number>(requests).fill(5), { digest: digests[name], version: 1, ...more });
    await this.say(name, metrics);
  }

  /** Copies of requests that blue answered were answered by green too. */
  async tellCopies(compared: number, agreed: number, more: Partial<ShadowMetrics> = {}): Promise<void> {
    const nothing = { uncompared: 0, liveErrors: 0, shadowErrors: 0, dropped: 0 };
    const latencies = { liveLatencyMs: sketchOf(5), shadowLatencyMs: sketchOf(5) };
    const green = { digest: digests.green, version: 1, tag: mirrorTag('green'), compared, agreed };
    const metrics = metricsOf([5], { digest: digests.blue, version: 1 });
    await this.say('blue', { ...metrics, shadow: { ...green, ...nothing, ...latencies, ...more } });
  }

  private async say(name: Color, metrics: ModuleMetrics): Promise<void> {
    const batch = this.sources.get(name)?.telemetry(this.clock.nowMs, { digits: metrics });
    if (batch !== undefined) await this.telemetry.ingest([batch]);
    // What is done upon it is done later.
    this.clock.nowMs += 1;
  }

  private async status(): Promise<ServicesStatus> {
    const { generation = 0, endpoints = [] } = (await this.document().current()) ?? {};
    const deployments = (endpoints[0]?.deployments ?? []).map(({ name, revision }): DeploymentStatus => {
      const own = name === 'green' ? this.state : { state: 'healthy' as const };
      const residentBytes = this.memory[name as Color];
      const replica = { id: name, revision, state: 'ready' as const, since: at, restarts: 0, residentBytes };
      const replicas = own.state === 'healthy' ? [replica] : [];
      return { name, revision, replicas, wantedReplicas: 1, numbers: quiet, ...own };
    });
    const about = { schema: 1, generation, version: '0.0.0', startedAt: at, url: 'http://127.0.0.1:1' } as const;
    return { ...about, endpoints: [{ id: this.id, deployments }] };
  }

  private async fill(): Promise<void> {
    const { control } = this;
    await control.insertInto('workspaces').values({ name: workspace, createdAt: at }).execute();
    await this.endpoints().create(workspace, { name: 'fraud', auth: 'none', description: '', tags: {} }, 'ann');
    for (const [index, name] of names.entries()) {
      await control
        .insertInto('images')
        .values({
          ...{ workspace, name: 'digits', version: index + 1, digest: digests[name], manifestSize: 1, flavor: 'onnx' },
          ...{ size: 1, signatureDigest: digests[name], signatureSize: 1, keyIdsJson: '[]', tagsJson: '{}' },
          ...{ createdAt: at, deletedAt: null },
        })
        .execute();
      await this.deploy(name, digests[name]);
    }
    await this.endpoints().setTraffic(workspace, 'fraud', { traffic: { blue: 100 } });
  }

  /** Another revision, where there is one already. */
  async deploy(name: Color, imageDigest: string): Promise<void> {
    await this.document().change(async (transaction, generation) => {
      const rows = new ServiceDeploymentRepository(transaction);
      const present = await rows.find(this.id, name);
      if (present !== undefined) await rows.end(present.id, generation);
      const service = serviceSettingsSchema.parse({ scale: { kind: 'fixed', replicas: 1 } });
      const row = { workspace, endpoint: this.id, name, settings: {}, service, imageDigest, generation, createdAt: at };
      await rows.insert({ ...row, id: `${name}-${String(generation)}` });
    });
  }
}
