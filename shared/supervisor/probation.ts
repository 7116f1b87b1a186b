/**
 * Whether a version that has just taken over may stay. Pure. Invariants, held by properties: nothing
 * passes with a crash, nor before its window is over; errors and latency decide nothing with fewer
 * requests than the policy asks for, and one failed request alone decides nothing.
 */
import type { Probation } from '#shared/protocol/desired.js';

export interface Counted {
  readonly requests: number;
  readonly errors: number;
  /** Of what was answered; null when nothing was. */
  readonly p99Ms: number | null;
  /** Absent where it was not measured: then the slowest hundredth decides alone. */
  readonly p50Ms?: number | null;
}

export interface WatchedModule {
  readonly module: string;
  readonly policy: Probation;
  readonly candidate: Counted;
  /** Lately, before it was replaced. */
  readonly incumbent: Counted;
}

export interface ProbationEvidence {
  /** Between the switch and when this was measured. */
  readonly watchedMs: number;
  readonly modules: readonly WatchedModule[];
  /** Resident, of the processes that each side does not share with the other; absent where they do not compare. */
  readonly memory?: { readonly candidateBytes: number; readonly incumbentBytes: number } | undefined;
  /** A process of the new set ended by itself: the script of a module, or, undefined, the host of all. */
  readonly crash?: { readonly module: string | undefined; readonly reason: string } | undefined;
}

export type ProbationVerdict =
  /** @property untilMs when it can pass at the earliest, or what it is kept up for ends; as `watchedMs` */
  | { readonly kind: 'watch'; readonly untilMs: number }
  | { readonly kind: 'pass' }
  /** @property modules who is to blame; undefined: it cannot be told, so all that changed */
  | { readonly kind: 'fail'; readonly modules: readonly string[] | undefined; readonly message: string };

/** Differences below these are noise, whatever the ratio. */
const latencyNoiseMs = 10;
/** A slow version is slow in the middle too; where it is not, something else may have held the machine up. */
const medianRatio = 1.5;
/** Windows after which a slow hundredth decides without the median. */
const patience = 3;
const memoryNoiseBytes = 64 * 1024 * 1024;

export function judgeProbation(evidence: ProbationEvidence): ProbationVerdict {
  const { watchedMs, modules, crash } = evidence;
  if (crash !== undefined) {
    return {
      kind: 'fail',
      modules: crash.module === undefined ? undefined : [crash.module],
      message: `${crash.module === undefined ? 'the host' : 'its script'} ended while it was on probation: ${crash.reason}`,
    };
  }
  const memory = judgeMemory(evidence);
  if (memory !== undefined) return { kind: 'fail', modules: undefined, message: memory };
  const failing = modules.flatMap((one) => {
    const message = judgeErrors(one) ?? (watchedMs < latencyMs(one) ? undefined : judgeLatency(one));
    return message === undefined ? [] : [{ module: one.module, message }];
  });
  if (failing.length > 0) {
    return {
      kind: 'fail',
      modules: failing.map(({ module }) => module),
      message: failing.map(({ message }) => message).join('; '),
    };
  }
  const ends = modules.flatMap((one) => openUntil(one, watchedMs) ?? []);
  return ends.length === 0 ? { kind: 'pass' } : { kind: 'watch', untilMs: Math.max(...ends) };
}

/** When this module can be judged next; undefined when it may stay. */
function openUntil(one: WatchedModule, watchedMs: number): number | undefined {
  if (watchedMs < windowMs(one)) return windowMs(one);
  if (!isEnough(one) && watchedMs < longestMs(one)) return longestMs(one);
  return judgeLatency(one) === undefined ? undefined : latencyMs(one);
}

/** From when latency decides. */
function latencyMs(one: WatchedModule): number {
  return windowMs(one) * (isMedianWorse(one) ? 1 : patience);
}

function isMedianWorse({ candidate, incumbent }: WatchedModule): boolean {
  const [now, before] = [candidate.p50Ms ?? undefined, incumbent.p50Ms ?? undefined];
  return now === undefined || before === undefined || now > before * medianRatio;
}

/** What was measured of one module, as it stands in reports. */
export function probationNumbers({ watchedMs, modules, memory }: ProbationEvidence, module: string) {
  const one = modules.find((watched) => watched.module === module);
  const numbers: Record<string, number> = { watchedSeconds: Math.round(watchedMs / 1000) };
  const add = (name: string, value: number | null | undefined): void => {
    if (value !== null && value !== undefined) numbers[name] = Math.round(value * 1000) / 1000;
  };
  add('requests', one?.candidate.requests);
  add('errors', one?.candidate.errors);
  add('p99Ms', one?.candidate.p99Ms);
  add('incumbentRequests', one?.incumbent.requests);
  add('incumbentErrors', one?.incumbent.errors);
  add('incumbentP99Ms', one?.incumbent.p99Ms);
  add('memoryBytes', memory?.candidateBytes);
  add('incumbentMemoryBytes', memory?.incumbentBytes);
  return numbers;
}

function judgeErrors({ candidate, incumbent, policy }: WatchedModule): string | undefined {
  if (candidate.requests < policy.minRequests) return undefined;
  const before = incumbent.requests < policy.minRequests ? 0 : incumbent.errors / incumbent.requests;
  const allowed = Math.max(1, (before + policy.maxErrorRate) * candidate.requests);
  if (candidate.errors <= allowed) return undefined;
  return `${String(candidate.errors)} of ${String(candidate.requests)} requests failed (${percent(candidate.errors / candidate.requests)}; the version before: ${percent(before)}, ${percent(policy.maxErrorRate)} more are allowed)`;
}

function judgeLatency({ candidate, incumbent, policy }: WatchedModule): string | undefined {
  if (candidate.requests < policy.minRequests || incumbent.requests < policy.minRequests) return undefined;
  if (candidate.p99Ms === null || incumbent.p99Ms === null) return undefined;
  if (candidate.p99Ms <= incumbent.p99Ms * policy.maxP99Ratio) return undefined;
  if (candidate.p99Ms <= incumbent.p99Ms + latencyNoiseMs) return undefined;
  return `99 of 100 requests took up to ${candidate.p99Ms.toFixed(1)} ms, with the version before ${incumbent.p99Ms.toFixed(1)} ms (${String(policy.maxP99Ratio)} times that is allowed)`;
}

/** The processes are shared: the most careful of the modules' policies counts. */
function judgeMemory({ memory, modules }: ProbationEvidence): string | undefined {
  if (memory === undefined || modules.length === 0 || memory.incumbentBytes <= 0) return undefined;
  const ratio = Math.min(...modules.map(({ policy }) => policy.maxMemoryRatio));
  const { candidateBytes, incumbentBytes } = memory;
  if (candidateBytes <= incumbentBytes * ratio || candidateBytes <= incumbentBytes + memoryNoiseBytes) return undefined;
  return `its processes hold ${megabytes(candidateBytes)}, those of the version before ${megabytes(incumbentBytes)} (${String(ratio)} times that is allowed)`;
}

function isEnough({ candidate, policy }: WatchedModule): boolean {
  return candidate.requests >= policy.minRequests;
}

function windowMs({ policy }: WatchedModule): number {
  return policy.windowSeconds * 1000;
}

function longestMs({ policy }: WatchedModule): number {
  return Math.max(policy.windowSeconds, policy.maxSeconds) * 1000;
}

function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}

function megabytes(bytes: number): string {
  return `${(bytes / 1_000_000).toFixed(0)} MB`;
}
