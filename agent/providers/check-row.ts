/** What the trial of one provider means: a row of the table, and whether the check as a whole passes. Pure. */
import type { ProviderFinding } from '#shared/scoring/provider-check/check-protocol.js';
import { leftToOthers } from '#shared/scoring/worker/node-counts.js';
import { needsOf, type ProviderName, type ProviderOrigin, platformsOf } from './platform-providers.js';

export type Trial =
  | { readonly kind: 'found'; readonly finding: ProviderFinding; readonly lastLines: readonly string[] }
  | { readonly kind: 'crashed'; readonly how: string; readonly lastLines: readonly string[] }
  | { readonly kind: 'hung'; readonly afterMs: number };

/**
 * `unavailable`: not on this platform, not installed, or no device and driver for it. `wrong`, `crashed`
 * and `hung` are faults of what is there.
 */
export type CheckOutcome = 'works' | 'unavailable' | 'wrong' | 'crashed' | 'hung';

export interface CheckRow {
  readonly provider: ProviderName;
  readonly available: boolean;
  readonly outcome: CheckOutcome;
  /** Largest distance to the CPU's answer, over the largest value in that. */
  readonly difference?: number;
  readonly runMs?: number;
  /** Its time over the CPU's in the same process: below 1 is faster. */
  readonly timesCpu?: number;
  readonly nodes?: Readonly<Record<string, number>>;
  readonly reason?: string;
  readonly remedy?: string;
}

/** Accelerators round as they like, to half floats at worst; a wrong kernel is far beyond. */
export const tolerance = 1e-2;

export function notHereRow(provider: ProviderName, platform: string): CheckRow {
  const reason = `onnxruntime has it on ${platformsOf(provider).join(', ')}; this is ${platform}`;
  return { provider, available: false, outcome: 'unavailable', reason };
}

export function rowOf(provider: ProviderName, origin: ProviderOrigin, trial: Trial): CheckRow {
  switch (trial.kind) {
    case 'hung':
      return {
        provider,
        available: true,
        outcome: 'hung',
        reason: `no answer within ${String(trial.afterMs / 1000)} s`,
        remedy: 'update the driver, and leave the provider out of the preference until then',
      };
    case 'crashed':
      return {
        provider,
        available: true,
        outcome: 'crashed',
        reason: `${trial.how}${lastWords(trial.lastLines)}`,
        remedy: 'update the driver, and leave the provider out of the preference until then',
      };
    case 'found':
      return trial.finding.type === 'ran'
        ? ranRow(provider, trial.finding)
        : {
            provider,
            available: false,
            outcome: 'unavailable',
            reason: missingLibrary(trial.lastLines) ?? trial.finding.reason,
            remedy: remedyOf(provider, origin, trial.lastLines),
          };
  }
}

function ranRow(provider: ProviderName, finding: Extract<ProviderFinding, { type: 'ran' }>): CheckRow {
  const { difference, runMs, cpuMs, nodes } = finding;
  const measured = { difference, runMs, timesCpu: runMs / cpuMs, ...(nodes === undefined ? {} : { nodes }) };
  const reason = nodes === undefined ? undefined : leftToOthers(provider, nodes);
  if (reason !== undefined) {
    return { provider, available: true, outcome: 'unavailable', ...measured, reason, remedy: needs(provider) };
  }
  if (difference <= tolerance) return { provider, available: true, outcome: 'works', ...measured };
  return {
    provider,
    available: true,
    outcome: 'wrong',
    ...measured,
    reason: `its answer differs from the CPU's by more than ${String(tolerance)} of the largest value`,
    remedy: 'update the driver, and leave the provider out of the preference until then',
  };
}

/** What the runtime wrote about a library, which the error that it throws leaves out. */
function missingLibrary(lines: readonly string[]): string | undefined {
  for (const line of lines.toReversed()) {
    const [, library, error] = /Failed to load library (\S+) with error: (.+)$/.exec(line) ?? [];
    if (library === undefined || error === undefined) continue;
    const name = library.split('/').at(-1) ?? library;
    const missing = error.split('/').at(-1) ?? error;
    return missing.startsWith(name) ? missing : `${name} needs ${missing}`;
  }
  return undefined;
}

function remedyOf(provider: ProviderName, origin: ProviderOrigin, lines: readonly string[]): string {
  const own = lines.some((line) => line.includes(`libonnxruntime_providers_shared.so: cannot open`));
  if (origin === 'to-install' && own) {
    return `flotilla-agent providers install ${provider} --from <URL or file> --sha256 <digest>`;
  }
  return missingLibrary(lines) === undefined
    ? needs(provider)
    : `have it where the loader looks (ldconfig, or LD_LIBRARY_PATH of the agent); ${needs(provider)}`;
}

function needs(provider: ProviderName): string {
  return `${provider} needs ${needsOf(provider)}`;
}

/** What it wrote before the frames of its stack. */
function lastWords(lines: readonly string[]): string {
  const last = lines.findLast((line) => /\w/.test(line) && !/^\s*(?:\d+: |at |---)/.test(line));
  return last === undefined ? '' : `: ${last.slice(0, 300)}`;
}

/**
 * @param asked the providers that were named; without names a provider may be unavailable, not faulty
 */
export function checkPasses(rows: readonly CheckRow[], asked: readonly string[]): boolean {
  return rows.every(({ provider, outcome }) => {
    if (outcome === 'works') return true;
    return outcome === 'unavailable' && provider !== 'cpu' && !asked.includes(provider);
  });
}
