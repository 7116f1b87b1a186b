/** What to do with a report, given what is stored. Pure. */
import { maxMessageBytes } from '#shared/protocol/decode.js';
import {
  applyPatch,
  emptyReportedState,
  type Reported,
  type ReportedState,
  reportedStateSchema,
} from '#shared/protocol/reported.js';

export interface StoredReport {
  readonly bootId: number;
  readonly sequence: number;
  readonly state: ReportedState;
}

export type ReportJudgement =
  | { readonly kind: 'store'; readonly state: ReportedState }
  /** Stored already: acknowledge again. */
  | { readonly kind: 'duplicate' }
  /** A diff on a report that we do not hold: ask for the whole. */
  | { readonly kind: 'gap' }
  /** From before the device's last restart: of no use. */
  | { readonly kind: 'stale' }
  | { readonly kind: 'refuse'; readonly reason: string };

/** Above this a device's generation would leave no room for ours. */
export const maxReportedGeneration = 2 ** 52;

export function judgeReported(report: Reported, stored: StoredReport): ReportJudgement {
  if (report.bootId < stored.bootId) return { kind: 'stale' };
  const sameBoot = report.bootId === stored.bootId;
  if (sameBoot && report.sequence <= stored.sequence) return { kind: 'duplicate' };
  if (report.base !== undefined && !(sameBoot && report.base === stored.sequence)) return { kind: 'gap' };

  const from = report.base === undefined ? emptyReportedState : stored.state;
  const parsed = reportedStateSchema.safeParse(applyPatch(from, report.state));
  if (!parsed.success) return { kind: 'refuse', reason: 'the whole is not a reported state' };
  // A device must be able to say the whole in one message: diffs that make more of it never end.
  if (JSON.stringify(parsed.data).length > maxMessageBytes) {
    return { kind: 'refuse', reason: 'the whole is larger than a message' };
  }
  if (parsed.data.generation > maxReportedGeneration) {
    return { kind: 'refuse', reason: 'its generation is beyond reason' };
  }
  return { kind: 'store', state: parsed.data };
}

/**
 * The generation above which our document must be issued again, when the device says that it has gone
 * past the one we hold: it reflects a newer one, or it refused ours as old or as a second of its number.
 */
export function overtakenAt(state: ReportedState, desiredGeneration: number): number | undefined {
  if (state.generation > desiredGeneration) return state.generation;
  const refused = state.refused;
  if (refused?.generation !== desiredGeneration) return undefined;
  const { code } = refused.problem;
  return code === 'desired.same-generation' || code === 'desired.older-generation' ? desiredGeneration : undefined;
}
