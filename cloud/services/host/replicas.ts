/** Does what the plan says, to replicas; tells what became of it as facts. It chooses nothing. */
import type { Clock } from '#shared/kernel/clock.js';
import type { Random } from '#shared/kernel/ids.js';
import type { ModuleMetrics } from '#shared/protocol/stream.js';
import type { DesiredDeployment } from '../desired-services.js';
import { type AddressedReplica, replicaId, runId } from './front-table-of.js';
import type { FrontPort } from './front-port.js';
import { keyOf, type ObservedReplica, type ReplicaOf, type ServiceFact } from './observed.js';
import type { ServiceAction } from './plan.js';
import { Replica } from './replica.js';
import type { ReplicaLogs } from './replica-logs.js';
import type { ReadyImage, ReplicaRuntime } from './replica-runtime.js';

export interface ReplicasPorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly runtime: ReplicaRuntime;
  readonly front: Pick<FrontPort, 'outstandingOf'>;
  readonly logs: ReplicaLogs;
  readonly image: (of: ReplicaOf, spec: DesiredDeployment) => Promise<ReadyImage>;
  readonly labels: (of: ReplicaOf) => Readonly<Record<string, string>>;
  readonly collectFolder: (of: ReplicaOf) => string;
  readonly tell: (fact: ServiceFact) => void;
  /** A replica said what it counted; `module` is that of its image. */
  readonly onMetrics: (of: ReplicaOf, module: string, metrics: ModuleMetrics) => void;
  /** How long a replica may go on with what it has, when it is replaced. */
  readonly drainMs: number;
  readonly onBug: (error: unknown) => void;
}

interface Run {
  readonly replica: Replica;
  readonly of: ReplicaOf;
  readonly spec: DesiredDeployment;
  readonly id: string;
}

/** How often the front is asked whether the last request of a replica is answered. */
const drainLookMs = 25;

export class Replicas {
  private readonly runs = new Map<number, Run>();
  /** Those that were told to end. */
  private readonly leaving = new Set<Promise<void>>();
  private last = 0;

  constructor(private readonly ports: ReplicasPorts) {}

  execute(action: ServiceAction, observed: readonly ObservedReplica[]): void {
    const { clock, tell } = this.ports;
    if (action.kind === 'start') {
      this.last += 1;
      const sequence = this.last;
      tell({ kind: 'started', ...action.of, sequence, atMs: clock.monotonic() });
      this.begin(sequence, 0, action.of, action.spec);
      return;
    }
    const { kind, sequence } = action;
    const replica = observed.find((one) => one.sequence === sequence);
    const run = this.runs.get(sequence);
    if (replica === undefined || run === undefined) return;
    tell({ kind: kind === 'restart' ? 'restarted' : 'drained', sequence, atMs: clock.monotonic() });
    if (kind === 'restart') this.begin(sequence, replica.restarts + 1, run.of, run.spec);
    else this.letGo(sequence, run, kind === 'drain');
  }

  /** What is run by it, ends: {@link ended} resolves then. */
  endAll(drainMs: number): void {
    for (const { replica } of this.runs.values()) {
      this.leave(replica.run === undefined ? replica.kill() : replica.drain(drainMs));
    }
  }

  async ended(): Promise<void> {
    while (this.leaving.size > 0) await Promise.all(this.leaving);
  }

  lookNow(id: string): void {
    for (const run of this.runs.values()) if (run.id === id) run.replica.lookNow();
  }

  addressed(observed: readonly ObservedReplica[]): AddressedReplica[] {
    return observed.map((one) => {
      const run = this.runs.get(one.sequence);
      return { ...one, address: run?.replica.run?.address, image: run?.spec.image };
    });
  }

  processOf(sequence: number): string | undefined {
    return this.runs.get(sequence)?.replica.run?.process;
  }

  async residentBytes(): Promise<ReadonlyMap<number, number>> {
    const sizes = new Map<number, number>();
    for (const [sequence, { replica }] of this.runs) {
      const bytes = await replica.run?.residentBytes();
      if (bytes !== undefined) sizes.set(sequence, bytes);
    }
    return sizes;
  }

  /** Resolves once all have said what they counted. */
  async askMetrics(): Promise<void> {
    await Promise.all([...this.runs.values()].map(({ replica }) => replica.askMetrics()));
  }

  /** What runs, or was to run when it last ended. */
  get specs(): DesiredDeployment[] {
    return [...this.runs.values()].map(({ spec }) => spec);
  }

  private begin(sequence: number, restarts: number, of: ReplicaOf, spec: DesiredDeployment): void {
    const { clock, random, runtime, logs, labels, tell, onBug } = this.ports;
    const id = runId({ sequence, restarts });
    const now = (): { sequence: number; atMs: number } => ({ sequence, atMs: clock.monotonic() });
    const log = (line: string): void => logs.add(keyOf(of), replicaId({ sequence }), line);
    const replica = new Replica({
      clock,
      runtime,
      image: () => this.ports.image(of, spec),
      order: { id, spec, labels: labels(of), collectFolder: this.ports.collectFolder(of), onLog: log },
      events: {
        onReady: () => {
          log('takes requests');
          tell({ kind: 'ready', ...now(), ran: spec });
        },
        onUnready: (problem) => tell({ kind: 'unready', ...now(), problem }),
        onMetrics: (metrics) => this.ports.onMetrics(of, spec.image.name, metrics),
        onExit: (problem) => {
          log(`ended: ${problem.message}`);
          tell({ kind: 'exited', ...now(), jitter: random(), problem });
        },
        onBug,
      },
    });
    this.runs.set(sequence, { replica, of, spec, id });
  }

  private letGo(sequence: number, run: Run, gently: boolean): void {
    const ended = gently ? this.drain(run) : run.replica.kill();
    this.leave(
      ended.then(() => {
        this.runs.delete(sequence);
        this.ports.logs.add(keyOf(run.of), replicaId({ sequence }), 'ended: it was told to');
        this.ports.logs.ended(replicaId({ sequence }));
        this.ports.tell({ kind: 'gone', sequence });
      }),
    );
  }

  /** The front sends nothing new there; what is under way is waited for, then the process ends. */
  private async drain({ replica, spec, id }: Run): Promise<void> {
    const { clock, front, drainMs } = this.ports;
    const until = clock.monotonic() + Math.max(drainMs, spec.request.timeoutMs);
    await clock.sleep(drainLookMs);
    while (front.outstandingOf(id) > 0 && clock.monotonic() < until) await clock.sleep(drainLookMs);
    await replica.drain(Math.max(1, Math.min(drainMs, until - clock.monotonic())));
  }

  private leave(ending: Promise<void>): void {
    const left = ending.catch(this.ports.onBug).finally(() => this.leaving.delete(left));
    this.leaving.add(left);
  }
}
