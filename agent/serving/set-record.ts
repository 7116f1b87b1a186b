/**
 * What one set has answered since it took the port, and lately: the measure of a version on probation, and
 * of the one before it.
 */
import { decodeSketch, emptySketch, mergeSketch, quantile, type Sketch } from '#shared/protocol/sketch.js';
import type { HostModuleStats } from '#shared/scoring/host-protocol.js';
import type { Counted } from '#shared/supervisor/probation.js';

interface Tally {
  requests: number;
  errors: number;
  readonly latency: Sketch;
}

type Tallies = Map<string, Tally>;

/** What is older than twice this is not lately. */
const turnMs = 300_000;

export class SetRecord {
  private readonly all: Tallies = new Map();
  private late: Tallies = new Map();
  private earlier: Tallies = new Map();
  private turnedAt: number;

  constructor(atMs: number) {
    this.turnedAt = atMs;
  }

  /** @param atMs of the monotonic clock */
  add(modules: readonly HostModuleStats[], atMs: number): void {
    if (atMs - this.turnedAt >= turnMs) {
      this.earlier = atMs - this.turnedAt >= 2 * turnMs ? new Map<string, Tally>() : this.late;
      this.late = new Map();
      this.turnedAt = atMs;
    }
    for (const stats of modules) {
      addTo(this.all, stats);
      addTo(this.late, stats);
    }
  }

  sinceStart(module: string): Counted {
    return countedOf([this.all.get(module)]);
  }

  lately(module: string): Counted {
    return countedOf([this.earlier.get(module), this.late.get(module)]);
  }
}

function addTo(tallies: Tallies, { name, requests, errors, latencyMs }: HostModuleStats): void {
  const tally = tallies.get(name) ?? { requests: 0, errors: 0, latency: emptySketch() };
  tallies.set(name, tally);
  const lost = lostByClients(errors);
  tally.requests += requests - lost;
  tally.errors += Object.values(errors).reduce((sum, count) => sum + count, 0) - lost;
  const sketch = decodeSketch(latencyMs);
  if (sketch !== undefined) mergeSketch(tally.latency, sketch);
}

/** Requests that ended before a version had a say in them: too large, too slow to come, given up by the client. */
function lostByClients(errors: HostModuleStats['errors']): number {
  return Object.entries(errors).reduce((sum, [code, count]) => (code.startsWith('request.') ? sum + count : sum), 0);
}

function countedOf(tallies: readonly (Tally | undefined)[]): Counted {
  const latency = emptySketch();
  let requests = 0;
  let errors = 0;
  for (const tally of tallies) {
    if (tally === undefined) continue;
    requests += tally.requests;
    errors += tally.errors;
    mergeSketch(latency, tally.latency);
  }
  return { requests, errors, p50Ms: quantile(latency, 0.5), p99Ms: quantile(latency, 0.99) };
}
