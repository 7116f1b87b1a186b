/**
 * Pure: what a device's state says about one deployment. `target.digest` undefined means the module
 * is to be gone.
 */
import { isErrorCode, type ErrorCode, type Problem } from '#shared/kernel/errors.js';
import type { ModuleReport, ReportedState } from '#shared/protocol/reported.js';
import type { DeviceBody } from '#cloud/http/schemas/devices.js';

export interface DeployTarget {
  readonly generation: number;
  readonly module: string;
  readonly digest: string | undefined;
  /** The refusal that stood before this deployment, which therefore says nothing about it. */
  readonly refusedBeforeAt: string | undefined;
  /** After so many attempts this version stood as failed before this deployment: the same number says nothing about it. */
  readonly attemptsBefore?: number | undefined;
}

/** @returns see {@link DeployTarget.attemptsBefore} */
export function failedAttempts(device: DeviceBody, module: string, digest: string): number | undefined {
  const candidate = device.reported.modules[module]?.candidate;
  return candidate?.state === 'failed' && candidate.digest === digest ? candidate.numbers?.['attempts'] : undefined;
}

export type Verdict =
  | {
      readonly kind: 'progress';
      readonly text: string;
      /** Changes when the progress is worth a new line; bytes alone do not change it. */
      readonly step: string;
      readonly bytes?: { readonly done: number; readonly total: number };
    }
  | { readonly kind: 'done'; readonly text: string }
  /** Nothing more happens before its maintenance window opens. */
  | { readonly kind: 'waits'; readonly text: string }
  | { readonly kind: 'failed'; readonly problem: Problem };

/** Of several: the first that failed, else the first that is under way; done when all are. */
export function judgeDeployments(device: DeviceBody, targets: readonly DeployTarget[]): Verdict {
  const verdicts = targets.map((target) => ({ target, verdict: judgeDeployment(device, target) }));
  for (const { target, verdict } of verdicts) {
    if (verdict.kind !== 'failed') continue;
    const { module, generation } = target;
    return { kind: 'failed', problem: { ...verdict.problem, details: { module, generation } } };
  }
  const underWay = verdicts.find(({ verdict }) => verdict.kind === 'progress');
  if (underWay !== undefined) return underWay.verdict;
  const waits = verdicts.some(({ verdict }) => verdict.kind === 'waits');
  return {
    kind: waits ? 'waits' : 'done',
    text: verdicts.map(({ verdict }) => ('text' in verdict ? verdict.text : '')).join('\n'),
  };
}

export function judgeDeployment(device: DeviceBody, target: DeployTarget): Verdict {
  const { desired, reported } = device;
  if (device.retiredAt !== undefined) return failed('device.retired', `${device.name} was retired`);
  const wanted = desired.modules[target.module]?.digest;
  if (desired.generation > target.generation && wanted !== target.digest) {
    return failed(
      'desired.conflict',
      `generation ${String(desired.generation)} of ${device.name} says otherwise about ${target.module}: someone changed it meanwhile`,
    );
  }
  const refusal = refusalOf(reported, target);
  if (refusal) return refusal;
  if (reported.generation < target.generation) return notHeardOf(device, target);
  const report = reported.modules[target.module];
  return target.digest === undefined
    ? judgeRemoval(device, target, report)
    : judgeModule(device, target, target.digest, report);
}

/** The device would not follow the document of this generation, or one that it could not even read. */
function refusalOf(reported: ReportedState, target: DeployTarget): Verdict | undefined {
  const { refused } = reported;
  if (refused === null || refused === undefined || refused.at === target.refusedBeforeAt) return undefined;
  const isOurs = refused.generation === undefined || refused.generation >= target.generation;
  if (!isOurs || reported.generation >= target.generation) return undefined;
  return failedWith(refused.problem, 'desired.invalid', 'the device refused what it should run');
}

function notHeardOf(device: DeviceBody, target: DeployTarget): Verdict {
  if (device.online) {
    return progress(`${device.name} is told of generation ${String(target.generation)}`);
  }
  const since = device.lastSeenAt === undefined ? 'it was never seen' : `last seen ${device.lastSeenAt}`;
  return progress(`${device.name} is offline (${since}); the deployment waits for it`);
}

function judgeRemoval(device: DeviceBody, target: DeployTarget, report: ModuleReport | undefined): Verdict {
  // Gone from the list is not enough: the replaced host may still finish what its clients sent.
  if (report === undefined && isSettled(device.reported, target.module)) {
    return {
      kind: 'done',
      text: `${target.module} is gone from ${device.name} (generation ${String(target.generation)})`,
    };
  }
  if (report?.window !== undefined) {
    const text = `${target.module} goes from ${device.name} when its window opens, ${report.window.opensAt}`;
    return { kind: 'waits', text };
  }
  return progress(`${target.module} is being stopped on ${device.name}`);
}

function judgeModule(
  device: DeviceBody,
  { module, attemptsBefore }: DeployTarget,
  digest: string,
  report: ModuleReport | undefined,
): Verdict {
  const { candidate, active, busy, window } = report ?? {};
  if (window !== undefined) {
    return {
      kind: 'waits',
      text: `${module} is ready on ${device.name} and waits for its window until ${window.opensAt}`,
    };
  }
  if (busy !== undefined && active?.digest !== digest) {
    const reason = busy.reason === '' ? '' : `: ${busy.reason}`;
    return progress(`${module} on ${device.name} puts its replacement off, until ${busy.until} at most${reason}`);
  }
  if (candidate !== undefined && candidate.digest === digest) return judgeCandidate(module, candidate, attemptsBefore);
  if (active !== undefined && active.digest === digest) return judgeActive(device, module, active);
  return progress(`${module} is being prepared on ${device.name}`);
}

function judgeCandidate(
  module: string,
  candidate: NonNullable<ModuleReport['candidate']>,
  attemptsBefore: number | undefined,
): Verdict {
  const version = `${module} version ${String(candidate.version)}`;
  switch (candidate.state) {
    case 'rejected': {
      const measured = candidate.reason?.code === 'probation.failed' ? probationText(candidate.numbers) : '';
      const text = `the device rejected ${version}${measured === '' ? '' : ` (measured: ${measured})`}`;
      return failedWith(candidate.reason, 'module.invalid', text);
    }
    case 'failed':
      if (attemptsBefore !== undefined && candidate.numbers?.['attempts'] === attemptsBefore) {
        const reason = candidate.reason === undefined ? '' : `: ${candidate.reason.message}`;
        return progress(`${version} failed before this and is tried again by the device${reason}`);
      }
      return failedWith(
        candidate.reason,
        'process.failed',
        `${version} failed on the device, which will try again by itself`,
      );
    case 'fetching':
      return fetching(version, candidate.numbers);
    case 'staged':
      return progress(`${version} is fetched and verified`);
    case 'proving':
      return progress(`${version} is being proved on the device`);
    case 'probation':
      return onProbation(version, candidate.numbers);
  }
}

/** Counts go on all the time: a new line is worth that it is so, and that something fails. */
function onProbation(version: string, numbers: Numbers | undefined): Verdict {
  const what = `${version} answers on probation`;
  const measured = probationText(numbers);
  const step = (numbers?.['errors'] ?? 0) > 0 ? `${what}, with failures` : what;
  return { kind: 'progress', text: measured === '' ? what : `${what}: ${measured}`, step };
}

type Numbers = Readonly<Record<string, number>>;

/** What was measured on probation, the new version beside the one before. */
export function probationText(numbers: Numbers | undefined): string {
  const {
    requests,
    errors = 0,
    p99Ms,
    incumbentP99Ms,
    memoryBytes,
    incumbentMemoryBytes,
    watchedSeconds,
  } = numbers ?? {};
  if (watchedSeconds === undefined || requests === undefined) return '';
  return [
    `${String(watchedSeconds)} s, ${String(requests)} requests, ${String(errors)} failed`,
    beside('p99', p99Ms, incumbentP99Ms, (ms) => `${ms.toFixed(1)} ms`),
    beside('memory', memoryBytes, incumbentMemoryBytes, (bytes) => `${(bytes / 1_000_000).toFixed(0)} MB`),
  ]
    .filter((part) => part !== '')
    .join(', ');
}

function beside(
  what: string,
  now: number | undefined,
  before: number | undefined,
  text: (value: number) => string,
): string {
  if (now === undefined) return '';
  return before === undefined ? `${what} ${text(now)}` : `${what} ${text(now)} (before ${text(before)})`;
}

function fetching(version: string, numbers: Readonly<Record<string, number>> | undefined): Verdict {
  const done = numbers?.['bytesFetched'];
  const total = numbers?.['bytesTotal'];
  const verdict = progress(`${version} is being fetched`);
  return done === undefined || total === undefined ? verdict : { ...verdict, bytes: { done, total } };
}

function judgeActive(device: DeviceBody, module: string, active: NonNullable<ModuleReport['active']>): Verdict {
  const version = `${module} version ${String(active.version)}`;
  switch (active.state) {
    case 'stopped':
      return failedWith(active.reason, 'process.failed', `${version} stopped on the device`);
    case 'restarting':
      return progress(`${version} is restarting on the device`);
    case 'standby':
      return progress(`${version} stands by on the device while another version is on probation`);
    case 'running': {
      // The same digest may already run with older settings, so running alone is not enough.
      if (!isSettled(device.reported, module)) {
        return progress(`${version} is being switched to`);
      }
      const provider = active.provider === undefined ? '' : ` on ${active.provider}`;
      return { kind: 'done', text: `${version} answers on ${device.name}${provider}` };
    }
  }
}

/** The device has converged, or what it still works on can only be another module that will not settle. */
function isSettled(reported: ReportedState, module: string): boolean {
  if (reported.converged) return true;
  return Object.entries(reported.modules).some(
    ([name, { active, candidate }]) =>
      name !== module &&
      (candidate?.state === 'rejected' || candidate?.state === 'failed' || active?.state === 'stopped'),
  );
}

function progress(text: string): Extract<Verdict, { kind: 'progress' }> {
  return { kind: 'progress', text, step: text };
}

function failed(code: ErrorCode, message: string): Verdict {
  return { kind: 'failed', problem: { code, message } };
}

/** The device's own reason, after what it means here. */
function failedWith(
  reason: { readonly code: string; readonly message: string } | undefined,
  otherwise: ErrorCode,
  what: string,
): Verdict {
  if (reason === undefined) return failed(otherwise, `${what}; flotilla device events has more`);
  const known = isErrorCode(reason.code);
  const suffix = known ? '' : ` (${reason.code})`;
  return failed(known ? (reason.code as ErrorCode) : otherwise, `${what}: ${reason.message}${suffix}`);
}
