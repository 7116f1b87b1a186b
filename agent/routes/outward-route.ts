/** A route from an output of a module: its values wait in the queue, and go to the target one after the other. */
import { backoffMs } from '#shared/kernel/backoff.js';
import type { Clock } from '#shared/kernel/clock.js';
import type { Random } from '#shared/kernel/ids.js';
import type { RouteMetrics } from '#shared/protocol/route-metrics.js';
import { BoundedQueue } from './bounded-queue.js';
import type { Payload } from './payload.js';
import type { PlannedRoute } from './plan.js';
import { RouteCounts } from './route-counts.js';
import type { Target } from './targets/target.js';

export interface OutwardPorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly openTarget: (planned: PlannedRoute) => Target;
  readonly onBug: (error: unknown) => void;
}

interface Waiting {
  readonly payload: Payload;
  readonly bytes: number;
}

const again = { baseMs: 200, maxMs: 30_000 };
/** In order: a device that stops does not wait for a broker that is away. */
const lastTurnMs = 2_000;

export class OutwardRoute {
  readonly direction = 'out';
  readonly counts = new RouteCounts();
  readonly queue: BoundedQueue<Waiting>;
  waitsFor: string | undefined;
  private target: Target;
  private readonly stopping = new AbortController();
  private readonly pumping: Promise<void>;

  constructor(
    public planned: PlannedRoute,
    private readonly ports: OutwardPorts,
  ) {
    this.queue = new BoundedQueue(planned.limits, (_item, why) => this.counts.lost(why));
    this.target = ports.openTarget(planned);
    this.pumping = this.pump().catch(ports.onBug);
  }

  /** Waits for room where the route's policy is to block. */
  async put(payload: Payload, signal: AbortSignal): Promise<void> {
    this.counts.entered();
    await this.queue.put({ payload, bytes: payload.bytes.length }, AbortSignal.any([signal, this.stopping.signal]));
  }

  /** For who cannot wait: what finds no room is lost. */
  offer(payload: Payload): void {
    this.counts.entered();
    this.queue.press({ payload, bytes: payload.bytes.length });
  }

  async change(planned: PlannedRoute): Promise<void> {
    const before = this.planned;
    this.planned = planned;
    this.queue.setLimits(planned.limits);
    const same = JSON.stringify([before.route, before.flavor]) === JSON.stringify([planned.route, planned.flavor]);
    if (same) return;
    const old = this.target;
    this.target = this.ports.openTarget(planned);
    await old.close?.();
  }

  takeDelta(): RouteMetrics | undefined {
    const values = this.target.takeValues?.();
    const delta = this.counts.takeDelta();
    if (values === undefined) return delta;
    return { ...(delta ?? { in: 0, out: 0, dropped: {} }), values };
  }

  /** What waits has a moment to go out; the rest is lost. */
  async stop(): Promise<void> {
    const { clock } = this.ports;
    const until = clock.monotonic() + lastTurnMs;
    while (this.queue.length > 0 && this.waitsFor === undefined && clock.monotonic() < until) await clock.sleep(10);
    this.stopping.abort();
    await this.pumping;
    for (const _item of this.queue.drain()) this.counts.lost('gone');
    await this.target.close?.();
  }

  private async pump(): Promise<void> {
    const { signal } = this.stopping;
    for (let item = await this.queue.take(signal); item !== undefined; item = await this.queue.take(signal)) {
      await this.bring(item.payload, signal);
    }
  }

  private async bring(payload: Payload, signal: AbortSignal): Promise<void> {
    const { clock, random } = this.ports;
    for (let tries = 1; ; tries++) {
      const sent = await this.target.send(payload, signal);
      if (sent.kind === 'sent') {
        this.waitsFor = undefined;
        this.counts.left();
        return;
      }
      if (sent.kind === 'lost') {
        this.counts.lost(sent.reason, sent.message);
        return;
      }
      this.waitsFor = sent.message;
      if (signal.aborted) {
        this.counts.lost('gone');
        return;
      }
      await clock.sleep(backoffMs(tries, again, random()), signal);
    }
  }
}
