/** Looks at the load of the deployments that scale by themselves, and says how many replicas each is to have. */
import type { DesiredServices } from '../desired-services.js';
import type { DeploymentNumbers } from '../services-status.js';
import { autoscale, type AutoScale, firstScale, replicasOf, type ScaleMemory } from './autoscale.js';
import { keyOf, versionOf } from './observed.js';

interface Watched {
  readonly version: string;
  readonly memory: ScaleMemory;
  /** The front's count at the last look. */
  readonly requests: number;
}

export class LoadWatch {
  private readonly watched = new Map<string, Watched>();
  private readonly needed = new Set<string>();

  constructor(private readonly numbers: (endpoint: string, deployment: string) => DeploymentNumbers) {}

  /** A request waits for a first replica; the next look counts it. */
  need(endpoint: string, deployment: string): void {
    this.needed.add(keyOf({ endpoint, deployment }));
  }

  /** @returns replicas by key, of every deployment that scales by itself */
  look(desired: DesiredServices | undefined, nowMs: number): ReadonlyMap<string, number> {
    const wanted = new Map<string, number>();
    for (const { id, deployments } of desired?.endpoints ?? []) {
      for (const spec of deployments) {
        if (spec.scale.kind !== 'auto') continue;
        const key = keyOf({ endpoint: id, deployment: spec.name });
        const next = this.lookAt(key, versionOf(spec), spec.scale, this.numbers(id, spec.name), nowMs);
        this.watched.set(key, next);
        wanted.set(key, replicasOf(spec.scale, next.memory, nowMs));
      }
    }
    for (const key of this.watched.keys()) if (!wanted.has(key)) this.watched.delete(key);
    this.needed.clear();
    return wanted;
  }

  private lookAt(key: string, version: string, scale: AutoScale, numbers: DeploymentNumbers, nowMs: number): Watched {
    const before = this.watched.get(key);
    const memory = memoryOf(before, version, scale, nowMs);
    const { requests, outstanding, p99Ms } = numbers;
    // The front counts anew when it starts anew.
    const came = Math.max(0, requests - Math.min(before?.requests ?? requests, requests));
    const load = { outstanding, p99Ms, requests: came + (this.needed.has(key) ? 1 : 0) };
    return { version, requests, memory: autoscale(scale, memory, load, nowMs) };
  }
}

/** Another version starts with what the one before had, and with one at least, that proves it. */
function memoryOf(before: Watched | undefined, version: string, scale: AutoScale, nowMs: number): ScaleMemory {
  const first = firstScale(scale, nowMs);
  if (before === undefined) return first;
  if (before.version === version) return before.memory;
  const replicas = Math.max(replicasOf(scale, before.memory, nowMs), replicasOf(scale, first, nowMs));
  return { asked: [{ atMs: nowMs, replicas }], slowAtMs: undefined };
}
