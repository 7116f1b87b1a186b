/** What is told of an alert: one document for log, stream of events and destinations. Pure. */
import { toInstant } from '#shared/kernel/clock.js';
import { type AlertRule, isMetricRule, onlyTells, thresholdOf } from './alert-rule.js';
import type { Change } from './plan.js';
import type { RolloutNotice } from './rollout-notice.js';
import type { ShiftNotice } from './shift-notice.js';

/** Whatever can be told. */
export type Notice = AlertNotice | RolloutNotice | ShiftNotice;

export interface AlertNotice {
  /** The same however often it is delivered. */
  readonly id: string;
  readonly type: 'alert.fired' | 'alert.cleared' | 'alert.test';
  readonly at: string;
  readonly workspace: string;
  readonly rule: string;
  readonly severity: AlertRule['severity'];
  /** The same of the notices that it fires and that it clears. */
  readonly incident: string;
  /** The device, module or module:version; absent where the rule is of all together. */
  readonly subject?: string;
  readonly metric?: string;
  readonly event?: string;
  readonly value: number | null;
  readonly threshold: number;
  readonly since: string;
  readonly reason?: string;
  readonly summary: string;
}

export interface NoticeOf {
  readonly id: string;
  readonly workspace: string;
  readonly rule: AlertRule;
  readonly subject: string;
  readonly change: Omit<Change, 'reason' | 'kind'> & {
    readonly kind: Change['kind'] | 'test';
    readonly reason?: string;
  };
  readonly atMs: number;
}

export function noticeOf({ id, workspace, rule, subject, change, atMs }: NoticeOf): AlertNotice {
  const { kind, incident, value, sinceMs, reason } = change;
  const what = isMetricRule(rule) ? { metric: rule.metric } : onlyTells(rule) ? {} : { event: rule.event };
  return {
    ...{ id, type: `alert.${kind}` as const, at: toInstant(atMs), workspace, rule: rule.name, severity: rule.severity },
    incident,
    ...(subject === '' ? {} : { subject }),
    ...what,
    ...{ value, threshold: thresholdOf(rule), since: toInstant(sinceMs) },
    ...(reason === undefined ? {} : { reason }),
    summary: summaryOf(rule, subject, kind, value, reason),
  };
}

function summaryOf(
  rule: AlertRule,
  subject: string,
  kind: Change['kind'] | 'test',
  value: number | null,
  reason: string | undefined,
): string {
  const of = subject === '' ? '' : ` of ${subject}`;
  if (kind === 'test' || onlyTells(rule)) return `a test of ${rule.name}: nothing is wrong`;
  if (kind === 'cleared') return `${rule.name}${of} is over${reason === undefined ? '' : `: ${reason}`}`;
  const number = value === null ? '?' : String(Number(value.toPrecision(6)));
  if (!isMetricRule(rule)) return `${rule.name}${of}: ${number} times ${rule.event} within ${rule.over}`;
  const side = rule.above === undefined ? 'below' : 'above';
  return `${rule.name}${of}: ${rule.metric} is ${number}, ${side} ${String(thresholdOf(rule))}, over ${rule.over}`;
}
