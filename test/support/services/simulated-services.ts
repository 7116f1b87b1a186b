/** Replicas that are only states: what a plan asks for happens, when the test lets it, well or badly. */
import type { Problem } from '#shared/kernel/errors.js';
import {
  type DesiredDeployment,
  desiredDeploymentSchema,
  type DesiredServices,
  type Scale,
} from '#cloud/services/desired-services.js';
import {
  nothingObserved,
  observe,
  type ObservedReplica,
  type ObservedServices,
  type ServiceFact,
  versionOf,
} from '#cloud/services/host/observed.js';
import { planServices, type ServicePlan, type ServicePolicy } from '#cloud/services/host/plan.js';

export const policy: ServicePolicy = { surge: 1, maxFailedStarts: 3, retryFailedMs: 300_000, maxStarting: 4 };

export const digestOfNumber = (number: number): string => `sha256:${number.toString(16).padStart(64, '0')}`;

export function deployment(name: string, revision: number, scale: number | Scale): DesiredDeployment {
  return desiredDeploymentSchema.parse({
    name,
    revision,
    image: {
      ...{ name: 'digits', version: revision, digest: digestOfNumber(revision), size: 1 },
      signature: { digest: digestOfNumber(0), size: 1 },
    },
    scale: typeof scale === 'number' ? { kind: 'fixed', replicas: scale } : scale,
  });
}

export function services(
  generation: number,
  endpoints: Readonly<Record<string, readonly DesiredDeployment[]>>,
): DesiredServices {
  return {
    schema: 1,
    generation,
    issuedAt: '2026-01-01T00:00:00.000Z',
    endpoints: Object.entries(endpoints).map(([id, deployments]) => ({
      ...{ id, workspace: 'default', name: id, auth: { mode: 'none' as const }, traffic: {} },
      deployments: [...deployments],
    })),
  };
}

export const passing: Problem = { code: 'process.failed', message: 'it ended' };

export class SimulatedServices {
  observed: ObservedServices = nothingObserved;
  desired: DesiredServices | undefined;
  nowMs = 1_000_000;
  private last = 0;
  private readonly specs = new Map<string, DesiredDeployment>();
  /** Told of every state that the world was in. */
  onState: () => void = () => undefined;

  /** @param starts whether what has this version ever starts */
  constructor(private readonly starts: (version: string) => boolean) {}

  tell(fact: ServiceFact): void {
    this.observed = observe(this.observed, fact);
    this.onState();
  }

  desire(desired: DesiredServices): void {
    this.desired = desired;
    const keys = new Set<string>();
    const versions = new Set<string>();
    for (const { id, deployments } of desired.endpoints) {
      for (const spec of deployments) {
        keys.add(`${id}/${spec.name}`);
        versions.add(`${id}/${spec.name}/${versionOf(spec)}`);
      }
    }
    this.tell({ kind: 'desired', keys, versions });
  }

  plan(): ServicePlan {
    return planServices(this.desired, this.observed, this.nowMs, policy);
  }

  /** Does what is planned, until nothing is; what takes time has only begun. */
  settle(): void {
    for (let round = 0; round < 20; round++) {
      const { actions } = this.plan();
      if (actions.length === 0) return;
      for (const action of actions) {
        if (action.kind === 'start') {
          this.last += 1;
          const sequence = this.last;
          this.specs.set(action.of.version, action.spec);
          this.tell({ kind: 'started', ...action.of, sequence, atMs: this.nowMs });
        } else {
          const kind = action.kind === 'restart' ? 'restarted' : 'drained';
          this.tell({ kind, sequence: action.sequence, atMs: this.nowMs });
        }
      }
    }
    throw new Error('the plan does not come to rest');
  }

  /** What is under way in one replica comes to its end. */
  finish({ sequence, state, version }: ObservedReplica): void {
    const spec = this.specs.get(version);
    if (state === 'draining') this.tell({ kind: 'gone', sequence });
    else if (state !== 'starting' || spec === undefined) return;
    else if (this.starts(version)) this.tell({ kind: 'ready', sequence, atMs: this.nowMs, ran: spec });
    else this.exit(sequence);
  }

  exit(sequence: number): void {
    this.tell({ kind: 'exited', sequence, atMs: this.nowMs, jitter: 0.5, problem: passing });
  }

  /** Time goes by, and all that is under way ends. */
  round(): void {
    this.nowMs += 61_000;
    this.settle();
    for (const one of this.observed.replicas) this.finish(one);
    this.settle();
  }

  in(...states: readonly ObservedReplica['state'][]): ObservedReplica[] {
    return this.observed.replicas.filter(({ state }) => states.includes(state));
  }
}
