/** A rule of an alert, as a file or the API gives it. Strict: a field that is accepted works. Pure. */
import * as z from 'zod';
import { AppError } from '#shared/kernel/errors.js';
import { nameSchema } from '#shared/protocol/primitives.js';
import { sourceSchema } from '#cloud/services/service-source.js';
import { parseMetric } from '#cloud/telemetry/metric.js';
import { happenings } from './rollout-notice.js';
import { shiftHappenings } from './shift-notice.js';
import type { SeriesKey } from '#cloud/telemetry/telemetry-port.js';

const unitSeconds = { d: 86_400, h: 3600, m: 60, s: 1 } as const;
const durationPattern = /^(?=\d)(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,6})s)?$/;

/** `90s`, `5m`, `1h30m` in seconds; NaN for another text. */
export function secondsOf(text: string): number {
  const match = durationPattern.exec(text);
  if (!match) return Number.NaN;
  return (['d', 'h', 'm', 's'] as const).reduce(
    (sum, unit, index) => sum + Number(match[index + 1] ?? 0) * unitSeconds[unit],
    0,
  );
}

const duration = (least: number, most: number, said: string) =>
  z
    .string()
    .max(32)
    .regex(durationPattern, 'is no duration; write for example 90s, 5m or 1h30m')
    .refine((text) => secondsOf(text) >= least && secondsOf(text) <= most, said);

const week = 7 * unitSeconds.d;
const top = {
  name: nameSchema,
  description: z.string().max(512).optional(),
  severity: z.enum(['info', 'warning', 'critical']).default('warning'),
  /** Destinations of the control plane's configuration, beside its log and the stream of events. */
  notify: z.array(nameSchema).max(8).default([]),
};
const head = {
  ...top,
  /** Or a deployment of a web service: fraud/blue. */
  device: sourceSchema.optional(),
  module: nameSchema.optional(),
  over: duration(60, week, 'must be from 1m to 7d').default('5m'),
};

export const metricRuleSchema = z.strictObject({
  ...head,
  metric: z.string().min(1).max(600),
  above: z.number().optional(),
  below: z.number().optional(),
  /** Where it clears again; without it where it fires. */
  clear: z.number().optional(),
  /** So long it must hold before it fires. */
  for: duration(0, week, 'must be at most 7d').default('0s'),
  /** An alert for each; without it one for all together. */
  by: z.enum(['device', 'module', 'version']).optional(),
  version: z.int().min(1).optional(),
  /** Requests, runs, elements or readings that a value must rest on. */
  atLeast: z.int().min(1).max(1_000_000_000).default(1),
});
export type MetricRule = z.output<typeof metricRuleSchema>;

export const eventRuleSchema = z.strictObject({
  ...head,
  /** The type of an event; `module.*` for all that begin so. */
  event: z
    .string()
    .max(64)
    .regex(/^[A-Za-z0-9._-]+\*?$/, 'must be a type of event, or the begin of one and "*"'),
  level: z.enum(['info', 'warn', 'error']).optional(),
  /** So many within `over`. */
  count: z.int().min(1).max(1000).default(1),
  by: z.enum(['device', 'module']).optional(),
});
export type EventRule = z.output<typeof eventRuleSchema>;

/** Tells what befalls rollouts; each transition once, and nothing fires or clears. */
export const rolloutRuleSchema = z.strictObject({
  ...top,
  rollout: z.union([z.literal('any'), z.array(z.enum(happenings)).min(1).max(happenings.length)], {
    error: `must be any, or a list of ${happenings.join(', ')}`,
  }),
  /** Only of rollouts over this fleet. */
  fleet: nameSchema.optional(),
});
export type RolloutRule = z.output<typeof rolloutRuleSchema>;

/** Tells what befalls shifts of traffic; each transition once, and nothing fires or clears. */
export const shiftRuleSchema = z.strictObject({
  ...top,
  shift: z.union([z.literal('any'), z.array(z.enum(shiftHappenings)).min(1).max(shiftHappenings.length)], {
    error: `must be any, or a list of ${shiftHappenings.join(', ')}`,
  }),
  /** Only of shifts of this endpoint. */
  endpoint: nameSchema.optional(),
});
export type ShiftRule = z.output<typeof shiftRuleSchema>;

export const alertRuleSchema = z.union([metricRuleSchema, eventRuleSchema, rolloutRuleSchema, shiftRuleSchema]);
export type AlertRule = z.output<typeof alertRuleSchema>;

export function isMetricRule(rule: AlertRule): rule is MetricRule {
  return 'metric' in rule;
}

export function isEventRule(rule: AlertRule): rule is EventRule {
  return 'event' in rule;
}

export function isRolloutRule(rule: AlertRule): rule is RolloutRule {
  return 'rollout' in rule;
}

export function isShiftRule(rule: AlertRule): rule is ShiftRule {
  return 'shift' in rule;
}

/** It measures nothing: it tells what happens. */
export function onlyTells(rule: AlertRule): rule is RolloutRule | ShiftRule {
  return isRolloutRule(rule) || isShiftRule(rule);
}

export function thresholdOf(rule: AlertRule): number {
  if (onlyTells(rule)) return 0;
  return isMetricRule(rule) ? (rule.above ?? rule.below ?? 0) : rule.count;
}

/** What fits the schema and still makes no sense, with the field that is to blame. */
export function ruleProblem(rule: AlertRule): { readonly field: string; readonly message: string } | undefined {
  if (!isMetricRule(rule)) return undefined;
  const { metric, above, below, clear, by, module, version } = rule;
  try {
    const parsed = parseMetric(metric);
    const ofModule = by === 'module' || by === 'version' || module !== undefined || version !== undefined;
    if (parsed.source === 'system' && ofModule) {
      return { field: 'metric', message: `"${metric}" is of the machine: it has neither module nor version` };
    }
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    return { field: 'metric', message: error.message };
  }
  if ((above === undefined) === (below === undefined)) {
    return { field: above === undefined ? 'metric' : 'below', message: 'give either "above" or "below"' };
  }
  if (clear === undefined) return undefined;
  const threshold = above ?? below ?? 0;
  if (above === undefined ? clear >= threshold : clear <= threshold) return undefined;
  return { field: 'clear', message: `must be ${above === undefined ? 'at least "below"' : 'at most "above"'}` };
}

export type RuleKey = SeriesKey | undefined;
