/** What a simulated device runs: the agent's reconciler, actions and downloads, over pretended hosts and a memory. */
import type { Clock } from '#shared/kernel/clock.js';
import type { Random } from '#shared/kernel/ids.js';
import type { ReportedState } from '#shared/protocol/reported.js';
import type { DeviceEvent } from '#shared/protocol/stream.js';
import type { SimulationProfile } from '#shared/protocol/simulation.js';
import type { Background } from '#agent/actions/background.js';
import { createExecutors, type DeviceExecutors } from '#agent/actions/executors.js';
import { Fetcher } from '#agent/actions/fetcher.js';
import { KnownVersions } from '#agent/actions/versions.js';
import type { BlockClient } from '#agent/link/block-client.js';
import type { Calendar } from '#agent/reconcile/calendar.js';
import { DeviceState } from '#agent/reconcile/device-state.js';
import { type Plan, planDevice } from '#agent/reconcile/plan.js';
import { defaultPolicy } from '#agent/reconcile/policy.js';
import { Reconciler } from '#agent/reconcile/reconciler.js';
import { type ReportInput, reportedStateOf } from '#agent/reconcile/report-state.js';
import { nothingCommitted, observedAtStart } from '#agent/store/committed-state.js';
import type { Committed } from '#agent/store/state-documents.js';
import type { TrustStore } from '#agent/trust/trust-keeper.js';
import { agentVersion } from '#agent/version.js';
import type { Conduct } from './conduct.js';
import { SimulatedHosts } from './simulated-hosts.js';
import { fetchSimulated, imagesInMemory, type VerifiedModules } from './simulated-images.js';

export interface WorkParts {
  readonly clock: Clock;
  readonly random: Random;
  readonly profile: SimulationProfile;
  readonly trust: TrustStore;
  readonly modules: VerifiedModules;
  readonly blocks: Pick<BlockClient, 'fetch'>;
  readonly background: Background;
  readonly conductWith: (image: { readonly name: string; readonly version: number }) => Conduct;
  readonly onFetched: (bytes: number) => void;
  readonly raise: (event: Omit<DeviceEvent, 'at'>) => void;
  readonly note: (did: string, details: Readonly<Record<string, unknown>>) => void;
  /** The report may say something else now. */
  readonly onChanged: () => void;
  readonly onBug: (error: unknown) => void;
  readonly signal: AbortSignal;
}

export const simulatedCapabilities = {
  agentVersion,
  platform: 'linux-x64',
  cpus: 4,
  memoryBytes: 4 * 1024 ** 3,
  accelerators: ['cpu'],
  hostname: 'simulated',
  timeZone: 'UTC',
};

export class SimulatedWork {
  readonly state: DeviceState;
  readonly hosts: SimulatedHosts;
  private readonly versions: KnownVersions;
  private readonly fetcher: Fetcher;
  private readonly executors: DeviceExecutors;
  private readonly reconciler: Reconciler;
  private committed: Committed = nothingCommitted;

  constructor(private readonly parts: WorkParts) {
    const { clock, random, profile, modules, conductWith, background, raise, note, onBug, signal } = parts;
    this.state = new DeviceState(observedAtStart(nothingCommitted), clock, random);
    this.versions = new KnownVersions(
      () => this.state.desired,
      () => this.committed,
    );
    const { requestsPerMinute } = profile.telemetry;
    this.hosts = new SimulatedHosts({ clock, random, signal, conductWith, requestsPerMinute });
    this.fetcher = this.createFetcher();
    this.executors = createExecutors({
      ...{ state: this.state, versions: this.versions, fetcher: this.fetcher, serving: this.hosts, background, raise },
      images: imagesInMemory(modules),
      committed: {
        change: (make) => {
          const made = make(this.committed);
          if (made !== undefined) this.committed = made.next;
          return Promise.resolve(made?.answer);
        },
      },
      rejections: { record: () => Promise.resolve() },
      probations: { begin: () => Promise.resolve(), end: () => Promise.resolve() },
      pause: (ms) => clock.sleep(ms, signal),
      onHeldUp: onBug,
      sandboxReady: () => Promise.resolve(),
    });
    this.reconciler = new Reconciler({
      ...{ state: this.state, executors: this.executors.table, policy: defaultPolicy, clock, random, onBug },
      calendar: () => this.calendar(),
      onPlanned: parts.onChanged,
      onFailure: (_action, error) => onBug(error),
    });
    this.state.onChange((fact) => {
      this.reconciler.wake();
      parts.onChanged();
      if (fact.kind === 'committed') note('committed', { generation: fact.generation });
      if (fact.kind === 'versionFailed') note('failed', { module: fact.track, code: fact.problem.code });
    });
  }

  start(): void {
    this.reconciler.wake();
  }

  async restart(module: string): Promise<void> {
    await this.executors.restart(module);
  }

  async stop(): Promise<void> {
    await this.reconciler.stop();
    await this.fetcher.stop();
  }

  plan(): Plan {
    const { desired, observed } = this.state;
    const now = this.parts.clock.monotonic();
    return planDevice({ desired, observed, policy: defaultPolicy, now, calendar: this.calendar() });
  }

  private calendar(): Calendar {
    const { clock } = this.parts;
    return { offset: clock.now() - clock.monotonic(), timeZone: simulatedCapabilities.timeZone };
  }

  reported(said: Pick<ReportInput, 'refused' | 'trust'>): ReportedState {
    const { clock } = this.parts;
    const served = Object.entries(this.versions.servedNow).map(([name, { image }]) => {
      const { digest, version } = image;
      return [name, { digest, version, provider: 'cpu', numbers: {} }] as const;
    });
    const committed = Object.entries(this.committed.modules).map(([name, { desired, numbers }]) => {
      const { digest, version } = desired.image;
      return [name, { digest, version, numbers }] as const;
    });
    return reportedStateOf({
      ...{ desired: this.state.desired, observed: this.state.observed, plan: this.plan(), ...said },
      offset: clock.now() - clock.monotonic(),
      served: Object.fromEntries(served),
      committed: Object.fromEntries(committed),
      held: {},
      previous: {},
      capabilities: simulatedCapabilities,
      scoring: { address: '127.0.0.1', port: 0 },
    });
  }

  private createFetcher(): Fetcher {
    const { profile, modules, trust, blocks, onFetched, onBug } = this.parts;
    const { state } = this;
    return new Fetcher({
      fetch: (image, _staged, onProgress, signal) =>
        fetchSimulated(
          image,
          { modules, blocks, trust: () => trust.current(), fetch: profile.fetch },
          (progress) => {
            onFetched(progress.bytesFetched);
            onProgress(progress);
          },
          signal,
        ),
      onProgress: (track, key, progress) => state.take({ kind: 'fetchProgressed', track, key, progress }),
      onDone: (track, key) => state.take({ kind: 'staged', track, key }),
      onFailed: (track, key, problem) => state.take({ kind: 'versionFailed', track, key, problem }),
      onUnexpected: onBug,
    });
  }
}
