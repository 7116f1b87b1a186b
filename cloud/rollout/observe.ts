/** What the twin of a device says about what a rollout asked of it. Pure. */
import type { ReportedState } from '#shared/protocol/reported.js';
import type { Observation } from './rollout-model.js';

/** As devices report it: any code, known here or not. */
export interface Problem {
  readonly code: string;
  readonly message: string;
}

export interface TwinStanding {
  readonly retired: boolean;
  readonly desiredGeneration: number;
  readonly desiredRelease: string;
  readonly convergedGeneration: number;
  /** The layers over its release are not those of now. */
  readonly layersStale?: boolean;
  /** Absent where it was not read: nothing is under way there. */
  readonly reported?: ReportedState | undefined;
}

export interface Asked {
  /** As name:version; empty where it goes back to modules that were no release. */
  readonly release: string;
  /** The generation that carries it; absent: nothing was asked yet. */
  readonly generation?: number | undefined;
  /** Digests of the images that it asks for: what other versions do says nothing. */
  readonly digests: ReadonlySet<string>;
}

export function observe(twin: TwinStanding, { release, generation, digests }: Asked): Observation {
  if (twin.retired) return { kind: 'gone' };
  if (generation === undefined) {
    const has = twin.desiredRelease === release && twin.convergedGeneration === twin.desiredGeneration;
    return has && twin.layersStale !== true ? { kind: 'there' } : { kind: 'working' };
  }
  // A document issued again has a higher generation and says the same.
  if (twin.desiredRelease !== release) return { kind: 'overtaken' };
  if (twin.convergedGeneration >= Math.max(generation, twin.desiredGeneration)) return { kind: 'there' };
  return twin.reported === undefined ? { kind: 'working' } : fromReport(twin.reported, generation, digests);
}

function fromReport(reported: ReportedState, generation: number, digests: ReadonlySet<string>): Observation {
  if (reported.generation < generation) {
    const { refused } = reported;
    const isOurs = refused?.generation !== undefined && refused.generation >= generation;
    return isOurs ? { kind: 'failed', problem: refused.problem } : { kind: 'working' };
  }
  let underWay: Problem | undefined;
  let opensAt: number | undefined;
  for (const name of Object.keys(reported.modules).sort()) {
    const report = reported.modules[name] ?? {};
    if (report.window !== undefined) opensAt = Math.max(opensAt ?? 0, Date.parse(report.window.opensAt));
    const candidate = report.candidate && digests.has(report.candidate.digest) ? report.candidate : undefined;
    const active = report.active && digests.has(report.active.digest) ? report.active : undefined;
    if (candidate?.state === 'rejected') {
      return { kind: 'failed', problem: about(name, candidate.reason, 'module.invalid', 'was rejected') };
    }
    // The device tries again by itself: it has until the step's timeout.
    if (candidate?.state === 'failed') underWay ??= about(name, candidate.reason, 'process.failed', 'failed');
    if (active?.state === 'stopped' && report.candidate === undefined) {
      return { kind: 'failed', problem: about(name, active.reason, 'process.failed', 'stopped') };
    }
  }
  return {
    kind: 'working',
    ...(underWay === undefined ? {} : { problem: underWay }),
    ...(opensAt === undefined ? {} : { opensAt }),
  };
}

function about(module: string, reason: Problem | undefined, code: string, what: string): Problem {
  return reason === undefined
    ? { code, message: `${module} ${what} on the device` }
    : { code: reason.code, message: `${module} ${what}: ${reason.message}` };
}
