/** What the device says of itself, from what is observed. Pure. */
import { toInstant } from '#shared/kernel/clock.js';
import type { Desired, ImageReference } from '#shared/protocol/desired.js';
import type { Capabilities, ModuleReport, ReportedState } from '#shared/protocol/reported.js';
import type { Problem } from '#shared/kernel/errors.js';
import type { ShadowReport, ShadowState } from '#shared/protocol/shadow.js';
import { entry, type Observed, type ProcessObservation, type Track, versionKeyOf } from '#agent/reconcile/observed.js';
import { shadowTrackOf, wantedShadows } from '#agent/reconcile/shadows.js';
import type { Plan } from '#agent/reconcile/plan.js';

type Active = NonNullable<ModuleReport['active']>;
type Candidate = NonNullable<ModuleReport['candidate']>;

export interface ServedVersion {
  readonly digest: string;
  readonly version: number;
  readonly provider?: string;
  readonly numbers: Readonly<Record<string, number>>;
}

export interface ReportInput {
  readonly desired: Desired | undefined;
  readonly observed: Observed;
  readonly plan: Pick<Plan, 'converged' | 'waiting'>;
  /** Wall clock minus monotonic clock, now. */
  readonly offset: number;
  /** The versions that answer. */
  readonly served: Readonly<Record<string, ServedVersion>>;
  /** The versions that the device is committed to: others answer while they are on probation. */
  readonly committed: Readonly<Record<string, ServedVersion>>;
  /** What is desired and, by a person's word at the device, not followed. */
  readonly held: Readonly<Record<string, { readonly image: ImageReference; readonly problem: Problem }>>;
  readonly previous: Readonly<Record<string, { readonly digest: string; readonly version: number }>>;
  readonly capabilities: Capabilities;
  readonly refused: { readonly generation?: number; readonly problem: Problem; readonly at: string } | undefined;
  readonly scoring: { readonly address: string; readonly port: number };
  readonly trust: TrustReport;
}

export interface TrustReport {
  readonly version: number;
  readonly unsigned: readonly string[];
  readonly problem: Problem | undefined;
}

export function reportedStateOf(input: ReportInput): ReportedState {
  const { desired, observed, served } = input;
  const names = new Set([...Object.keys(desired?.modules ?? {}), ...Object.keys(observed.serving.set)]);
  const modules = Object.fromEntries([...names].sort().map((name) => [name, moduleReport(name, input)]));
  return {
    generation: desired?.generation ?? observed.committed.generation,
    converged: input.plan.converged && Object.keys(input.held).length === 0,
    modules: Object.fromEntries(Object.entries(modules).filter(([name]) => names.has(name) || entry(served, name))),
    capabilities: input.capabilities,
    refused: input.refused === undefined ? null : { ...input.refused, problem: mutable(input.refused.problem) },
    scoring: { ...input.scoring },
    trust: trustOf(input.trust),
    ...prefetchedOf(desired, observed),
  };
}

function prefetchedOf(desired: Desired | undefined, { tracks }: Observed): Pick<ReportedState, 'prefetched'> {
  // Of what was chosen from an index the cloud knows the index.
  const held = (desired?.prefetch ?? [])
    .filter(({ digest }) => entry(tracks, digest)?.state === 'staged')
    .map(askedDigest);
  return held.length === 0 ? {} : { prefetched: [...new Set(held)].sort() };
}

function trustOf({ version, unsigned, problem }: TrustReport): NonNullable<ReportedState['trust']> {
  return { version, unsigned: unsigned.slice(0, 64), ...(problem === undefined ? {} : { problem: mutable(problem) }) };
}

function moduleReport(name: string, input: ReportInput): ModuleReport {
  const active = activeOf(name, input);
  const candidate = candidateOf(name, input);
  const previous = entry(input.previous, name);
  const shadow = shadowReportOf(name, input);
  const busy = input.plan.waiting.find((one) => one.kind === 'busy' && one.module === name);
  const picked = input.desired === undefined ? undefined : entry(input.desired.modules, name)?.image;
  const window = input.plan.waiting.find((one) => one.kind === 'window' && one.module === name);
  const waits = input.plan.waiting.find((one) => one.kind === 'startAfter' && one.module === name);
  return {
    ...(active === undefined ? {} : { active }),
    ...(candidate === undefined ? {} : { candidate }),
    ...(previous === undefined ? {} : { previous: { digest: previous.digest, version: previous.version } }),
    ...(shadow === undefined ? {} : { shadow }),
    ...(busy?.kind === 'busy'
      ? { busy: { until: wholeSecond(busy.deadline + input.offset), reason: busy.reason } }
      : {}),
    ...(picked?.chosenFrom === undefined ? {} : { variant: variantOf(picked.digest, picked.chosenFrom) }),
    ...(window?.kind === 'window' ? { window: { opensAt: toInstant(window.opensAt) } } : {}),
    ...(waits?.kind === 'startAfter'
      ? { waitsFor: { modules: [...waits.missing], until: wholeSecond(waits.deadline + input.offset) } }
      : {}),
  };
}

/** The difference of two clocks trembles; what is reported must not. */
function wholeSecond(ms: number): string {
  return toInstant(Math.round(ms / 1000) * 1000);
}

function activeOf(name: string, input: ReportInput): Active | undefined {
  const { observed, served } = input;
  if (entry(observed.probation?.changed ?? {}, name) !== undefined) return standbyOf(name, input);
  const version = entry(served, name);
  if (version === undefined || entry(observed.serving.set, name) === undefined) return undefined;
  const processes = [observed.serving.host, entry(observed.serving.scripts, name)].filter((one) => one !== undefined);
  const stopped = processes.find((process) => process.state === 'stopped');
  const down = processes.find((process) => process.state === 'down');
  const running = processes.every((process) => process.state === 'running');
  const reason = stopped?.reason ?? down?.reason;
  return {
    digest: version.digest,
    version: version.version,
    state: stopped !== undefined ? 'stopped' : running ? 'running' : 'restarting',
    ...(version.provider === undefined ? {} : { provider: version.provider }),
    ...(reason === undefined ? {} : { reason: { code: 'process.failed', message: reason } }),
    numbers: { ...version.numbers },
  };
}

/** While its successor is on probation. */
function standbyOf(name: string, { observed, committed }: ReportInput): Active | undefined {
  const version = entry(committed, name);
  if (version === undefined || entry(observed.probation?.fallback ?? {}, name) === undefined) return undefined;
  const { digest, version: number, numbers } = version;
  return { digest, version: number, state: 'standby', numbers: { ...numbers } };
}

function candidateOf(name: string, { desired, observed, held }: ReportInput): Candidate | undefined {
  const refused = entry(held, name);
  if (refused !== undefined) {
    const { image, problem } = refused;
    return { digest: askedDigest(image), version: image.version, state: 'rejected', reason: mutable(problem) };
  }
  const wanted = desired === undefined ? undefined : entry(desired.modules, name);
  const track = entry(observed.tracks, name);
  if (wanted === undefined || track === undefined) return undefined;
  const key = versionKeyOf(wanted);
  const onProbation = entry(observed.probation?.changed ?? {}, name) === key;
  if (track.key !== key || (entry(observed.serving.set, name) === key && !onProbation)) return undefined;
  const state = candidateStateOf(track);
  if (state === undefined) return undefined;
  return {
    digest: askedDigest(track.image),
    version: track.image.version,
    state,
    ...(track.problem === undefined ? {} : { reason: mutable(track.problem) }),
    numbers: { attempts: track.attempts, ...track.progress, ...track.numbers },
  };
}

/** Of what was asked for: of an index, whatever was picked of it. */
export function askedDigest({ digest, chosenFrom }: ImageReference): ImageReference['digest'] {
  return chosenFrom?.digest ?? digest;
}

function variantOf(
  digest: ImageReference['digest'],
  { accelerator, precision, because }: NonNullable<ImageReference['chosenFrom']>,
): NonNullable<ModuleReport['variant']> {
  return { digest, accelerator, precision, because };
}

function shadowReportOf(name: string, { desired, observed }: ReportInput): ShadowReport | undefined {
  const wanted = desired && wantedShadows(desired).find(({ module }) => module === name);
  const track = entry(observed.tracks, shadowTrackOf(name));
  if (wanted === undefined || track?.key !== wanted.key) return undefined;
  const running = entry(observed.shadows, name);
  const own = running?.key === wanted.key ? running : undefined;
  const { process } = own ?? {};
  const down = process?.state === 'down' ? ({ code: 'process.failed', message: process.reason } as const) : undefined;
  const problem = track.problem ?? down;
  return {
    digest: track.image.digest,
    version: track.image.version,
    state: shadowStateOf(track, process),
    ...(own?.provider === undefined ? {} : { provider: own.provider }),
    ...(problem === undefined ? {} : { reason: mutable(problem) }),
    numbers: { attempts: track.attempts, ...track.progress, ...track.numbers, ...own?.numbers },
  };
}

function shadowStateOf({ state }: Track, process: ProcessObservation | undefined): ShadowState {
  if (state === 'wanted' || state === 'fetching') return 'fetching';
  if (state === 'rejected' || state === 'failed') return state;
  switch (process?.state) {
    case undefined:
    case 'absent':
      return 'staged';
    case 'starting':
      return process.exits.length === 0 ? 'proving' : 'restarting';
    case 'running':
      return 'running';
    case 'down':
    case 'stopped':
      return 'restarting';
  }
}

function candidateStateOf({ state }: Track): Candidate['state'] | undefined {
  switch (state) {
    case 'wanted':
    case 'fetching':
      return 'fetching';
    case 'staged':
    case 'probation':
    case 'rejected':
    case 'failed':
      return state;
    case 'proving':
    case 'proved':
      return 'proving';
    case 'active':
      return undefined;
  }
}

function mutable({ code, message, details }: Problem): {
  code: string;
  message: string;
  details?: Record<string, unknown>;
} {
  return { code, message: message.slice(0, 4096), ...(details === undefined ? {} : { details: { ...details } }) };
}
