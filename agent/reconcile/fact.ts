/** What can happen to the device, as plain data: the only way in which what is observed changes. */
import type { Problem } from '#shared/kernel/errors.js';
import type { Desired } from '#shared/protocol/desired.js';
import type { ProbationSample, Progress, ServingSet, VersionKey } from '#agent/reconcile/observed.js';

/** A rejection that was kept on disk: it counts for its generation only. */
export interface Rejection {
  readonly key: VersionKey;
  readonly problem: Problem;
}

export interface AtTrack {
  readonly track: string;
  readonly key: VersionKey;
}

export interface AtShadow {
  readonly module: string;
  readonly key: VersionKey;
}

export type Fact =
  | {
      readonly kind: 'desiredAccepted';
      readonly desired: Desired;
      readonly rejections: Readonly<Record<string, Rejection>>;
    }
  | ({ readonly kind: 'fetchStarted' } & AtTrack)
  | ({ readonly kind: 'fetchProgressed'; readonly progress: Progress } & AtTrack)
  | ({ readonly kind: 'staged' } & AtTrack)
  /** The download ended, or the version could not be loaded or proved; the problem's code says if it is for good. */
  | ({ readonly kind: 'versionFailed'; readonly problem: Problem } & AtTrack)
  | ({ readonly kind: 'fetchCancelled' } & AtTrack)
  | ({ readonly kind: 'versionLost' } & AtTrack)
  | { readonly kind: 'servingStarting' }
  | { readonly kind: 'servingStarted'; readonly scripts: readonly string[] }
  /** The incumbent set without a module that could not be loaded again. */
  | { readonly kind: 'servingLost'; readonly module: string }
  | { readonly kind: 'hostExited'; readonly clean: boolean; readonly reason: string }
  | { readonly kind: 'scriptStarting'; readonly module: string }
  | { readonly kind: 'scriptStarted'; readonly module: string }
  | { readonly kind: 'scriptExited'; readonly module: string; readonly clean: boolean; readonly reason: string }
  | { readonly kind: 'gaveUp'; readonly process: 'host' | { readonly script: string }; readonly reason: string }
  /** A person asks for another try. */
  | { readonly kind: 'restartAsked'; readonly module: string }
  | { readonly kind: 'candidateStarting'; readonly set: ServingSet }
  | { readonly kind: 'candidateLoaded' }
  | { readonly kind: 'candidateGone' }
  | ({ readonly kind: 'provingStarted' } & AtTrack)
  | ({ readonly kind: 'proved'; readonly numbers?: Readonly<Record<string, number>> } & AtTrack)
  /** @property watched the modules that are on probation from now on; none: there is no probation */
  | { readonly kind: 'switched'; readonly scripts: readonly string[]; readonly watched: readonly string[] }
  | { readonly kind: 'probationAsked' }
  | { readonly kind: 'probationSampled'; readonly sample: ProbationSample }
  /** The set before the probation answers again, or, not warm, must be started. */
  | { readonly kind: 'returned'; readonly warm: boolean; readonly scripts: readonly string[] }
  /** A module says until when it must not be replaced; a time that has passed ends it. */
  | { readonly kind: 'deferred'; readonly module: string; readonly until: number; readonly reason: string }
  | { readonly kind: 'committed'; readonly generation: number; readonly set: ServingSet }
  | { readonly kind: 'retiredDraining' }
  /** The replaced host stops accepting, finishes what it has, and stays loaded. */
  | { readonly kind: 'pausing' }
  | { readonly kind: 'retiredDropped' }
  | ({ readonly kind: 'shadowStarting' } & AtShadow)
  | ({
      readonly kind: 'shadowRunning';
      readonly provider: string;
      readonly numbers: Readonly<Record<string, number>>;
    } & AtShadow)
  /** Copies go to it by this rule. */
  | ({ readonly kind: 'shadowMirrored'; readonly rule: string } & AtShadow)
  | ({ readonly kind: 'shadowExited'; readonly clean: boolean; readonly reason: string } & AtShadow)
  | ({ readonly kind: 'shadowCounted'; readonly numbers: Readonly<Record<string, number>> } & AtShadow)
  | { readonly kind: 'shadowGone'; readonly module: string }
  | { readonly kind: 'linkChanged'; readonly up: boolean }
  | { readonly kind: 'garbageChanged'; readonly due: boolean };
