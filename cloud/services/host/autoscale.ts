/**
 * How many replicas the load asks for. Pure. What a look at the load asks for counts at once where it is more, and
 * for a whole cool-down after it was seen where it is less: so the number never goes down and up again within one,
 * and a deployment goes to zero only after a cool-down without a request.
 */
import type { Scale } from '../desired-services.js';

export type AutoScale = Extract<Scale, { kind: 'auto' }>;

export interface Load {
  /** Requests that are answered, or wait, in this moment. */
  readonly outstanding: number;
  /** Of the last minute; absent: nothing was answered. */
  readonly p99Ms: number | undefined;
  /** Since the last look: came, or waits for a first replica. */
  readonly requests: number;
}

/** What was asked for, the latest last. Each asks for less than the one before it, so they are never more than `max`. */
export interface ScaleMemory {
  readonly asked: readonly { readonly atMs: number; readonly replicas: number }[];
  /** When latency last asked for one more. */
  readonly slowAtMs: number | undefined;
}

/** Latency is that of the last minute: what one more replica does to it shows only after that. */
const latencyPauseMs = 60_000;

/** A version that was never asked proves itself with one replica, and keeps it for a cool-down. */
export function firstScale(scale: AutoScale, nowMs: number): ScaleMemory {
  return { asked: [{ atMs: nowMs, replicas: bounded(scale, 1) }], slowAtMs: undefined };
}

/** @returns what to remember for the next look; {@link replicasOf} says how many it asks for */
export function autoscale(scale: AutoScale, memory: ScaleMemory, load: Load, nowMs: number): ScaleMemory {
  const before = replicasOf(scale, memory, nowMs);
  const slow = isSlow(scale, load);
  const mayStep = memory.slowAtMs === undefined || nowMs - memory.slowAtMs >= latencyPauseMs;
  const byLoad = Math.ceil(load.outstanding / scale.targetOutstanding);
  const byUse = load.requests > 0 || load.outstanding > 0 ? 1 : 0;
  const byLatency = slow ? before + (mayStep ? 1 : 0) : 0;
  const replicas = bounded(scale, Math.max(byLoad, byUse, byLatency));
  const asked = recent(scale, memory, nowMs).filter((one) => one.replicas > replicas);
  return { asked: [...asked, { atMs: nowMs, replicas }], slowAtMs: slow && mayStep ? nowMs : memory.slowAtMs };
}

/** The most that was asked for within the cool-down. */
export function replicasOf(scale: AutoScale, memory: ScaleMemory, nowMs: number): number {
  const [first] = recent(scale, memory, nowMs);
  return bounded(scale, first?.replicas ?? 0);
}

/** @param asked by the load, where it says anything yet */
export function wantedOf(scale: Scale, asked: number | undefined): number {
  return scale.kind === 'fixed' ? scale.replicas : bounded(scale, asked ?? 1);
}

function recent({ coolDownSeconds }: AutoScale, { asked }: ScaleMemory, nowMs: number): ScaleMemory['asked'] {
  // The last look counts whatever its age: nobody has looked since.
  return asked.filter(({ atMs }, index) => index === asked.length - 1 || nowMs - atMs < coolDownSeconds * 1000);
}

function isSlow({ maxP99Ms }: AutoScale, { p99Ms }: Load): boolean {
  return maxP99Ms !== undefined && p99Ms !== undefined && p99Ms > maxP99Ms;
}

function bounded({ min, max }: AutoScale, replicas: number): number {
  return Math.min(Math.max(min, replicas), Math.max(min, max));
}
