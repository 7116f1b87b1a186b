/**
 * Judges rules by what the telemetry store has. What a judgement changes, what is to be told of it, and up to which event
 * it went are one transaction of the control database: a kill at any instant has an alert fire once, and clear once.
 */
import type { Clock } from '#shared/kernel/clock.js';
import { messageOf } from '#shared/kernel/errors.js';
import type { NewId } from '#shared/kernel/ids.js';
import type { Logger } from '#shared/platform/logger.js';
import { SingleFlight } from '#shared/platform/single-flight.js';
import { parseMetric } from '#cloud/telemetry/metric.js';
import type { NewEvents, TelemetryPort } from '#cloud/telemetry/telemetry-port.js';
import { noticeOf } from './alert-notice.js';
import type { AlertRepository } from './alert-repository.js';
import { type EventRule, isEventRule, isMetricRule, type MetricRule, secondsOf } from './alert-rule.js';
import { decideEvents, decideMetric, type Decision, matches } from './plan.js';

export interface AlertEngineOptions {
  readonly alerts: AlertRepository;
  readonly telemetry: Pick<TelemetryPort, 'newEvents' | 'series'>;
  readonly clock: Clock;
  readonly newId: NewId;
  readonly logger: Logger;
  /** There is something to tell. */
  readonly onNotices: () => void;
}

type Event = NewEvents['events'][number];

const eventsPerStep = 500;
const minuteMs = 60_000;

export class AlertEngine {
  private readonly flight: SingleFlight;
  private metricsDue = false;

  constructor(private readonly options: AlertEngineOptions) {
    this.flight = new SingleFlight(
      () => this.judge(),
      (error) => options.logger.error({ reason: messageOf(error) }, 'alerts were not judged; they are again soon'),
    );
  }

  /** Before events come: a store that lost its last moments in a power cut gives their numbers anew. */
  async begin(): Promise<void> {
    const { alerts, telemetry } = this.options;
    for (const { workspace, eventId } of await alerts.cursors()) {
      const { newest } = await telemetry.newEvents({ workspace, after: eventId, limit: 1 });
      if (newest < eventId) await alerts.putCursor(workspace, newest);
    }
  }

  /** The time has come to judge all. */
  wake(): void {
    this.metricsDue = true;
    this.flight.wake();
  }

  /** Events came: a flood of them has no metric measured. */
  eventsCame(): void {
    this.flight.wake();
  }

  async idle(): Promise<void> {
    await this.flight.idle();
  }

  async stop(): Promise<void> {
    await this.flight.stop();
  }

  private async judge(): Promise<void> {
    const metricsDue = this.metricsDue;
    this.metricsDue = false;
    const byWorkspace = new Map<string, { metrics: MetricRule[]; events: EventRule[] }>();
    for (const { workspace, rule } of await this.options.alerts.rules()) {
      const rules = byWorkspace.get(workspace) ?? { metrics: [], events: [] };
      byWorkspace.set(workspace, rules);
      if (isMetricRule(rule)) rules.metrics.push(rule);
      else if (isEventRule(rule)) rules.events.push(rule);
    }
    for (const [workspace, { metrics, events }] of byWorkspace) {
      if (events.length > 0) await this.judgeEvents(workspace, events);
      for (const rule of metricsDue ? metrics : []) await this.judgeMetric(workspace, rule);
    }
    this.options.onNotices();
  }

  private async judgeEvents(workspace: string, rules: readonly EventRule[]): Promise<void> {
    const { alerts, telemetry } = this.options;
    for (;;) {
      const after = await alerts.cursor(workspace);
      if (after === undefined) return;
      const { events } = await telemetry.newEvents({ workspace, after, limit: eventsPerStep });
      await alerts.transaction(async (within) => {
        for (const rule of rules) {
          if (await this.isInForce(within, workspace, rule)) {
            await this.decide(within, workspace, rule, groupsOf(rule, events));
          }
        }
        const last = events.at(-1);
        // Only forward from where this look began: the rules may have begun anew meanwhile.
        if (last && (await within.cursor(workspace)) === after) await within.putCursor(workspace, last.id);
      });
      if (events.length < eventsPerStep) return;
    }
  }

  /** Of every subject that has new events or is remembered. */
  private async decide(
    within: AlertRepository,
    workspace: string,
    rule: EventRule,
    groups: ReadonlyMap<string, readonly number[]>,
  ): Promise<void> {
    const now = this.options.clock.now();
    const states = new Map((await within.states(workspace, rule.name)).map(({ subject, state }) => [subject, state]));
    for (const subject of new Set([...states.keys(), ...groups.keys()])) {
      const before = states.get(subject);
      const decision = decideEvents(rule, before, groups.get(subject) ?? [], now, this.options.newId());
      await this.keep(within, workspace, rule, subject, decision);
    }
  }

  private async judgeMetric(workspace: string, rule: MetricRule): Promise<void> {
    const { alerts, telemetry, clock, newId } = this.options;
    const { by, device, module, version } = rule;
    const now = clock.now();
    const overMs = secondsOf(rule.over) * 1000;
    // One step, though its first minute begins earlier; with what came in this very millisecond.
    const span = { fromMs: now - overMs, toMs: now + 1, stepMs: overMs + minuteMs };
    const metric = parseMetric(rule.metric);
    const { series } = await telemetry.series({ workspace, metric, ...span, by, device, module, version });
    const measured = new Map(series.map(({ key, values, samples }) => [key, { value: values[0] ?? null, samples }]));
    await alerts.transaction(async (within) => {
      const stored = await within.states(workspace, rule.name);
      const states = new Map(stored.map(({ subject, state }) => [subject, state]));
      if (!(await this.isInForce(within, workspace, rule))) return;
      for (const subject of new Set([...states.keys(), ...measured.keys()])) {
        const before = states.get(subject);
        const decision = decideMetric(rule, before, measured.get(subject), now, newId());
        // Of a large fleet most stands as it stood.
        if (decision.next !== before) await this.keep(within, workspace, rule, subject, decision);
      }
    });
  }

  /** Not deleted or changed since it was read: of such a one nothing may be remembered. */
  private async isInForce(within: AlertRepository, workspace: string, rule: MetricRule | EventRule): Promise<boolean> {
    const stored = await within.rule(workspace, rule.name);
    return JSON.stringify(stored?.rule) === JSON.stringify(rule);
  }

  private async keep(
    within: AlertRepository,
    workspace: string,
    rule: MetricRule | EventRule,
    subject: string,
    { next, change }: Decision,
  ): Promise<void> {
    const { clock, newId } = this.options;
    const atMs = clock.now();
    await within.putState(workspace, rule.name, subject, next);
    if (change === undefined) return;
    await within.addNotice(noticeOf({ id: newId(), workspace, rule, subject, change, atMs }), rule.notify, atMs);
  }
}

function groupsOf(rule: EventRule, events: readonly Event[]): Map<string, number[]> {
  const groups = new Map<string, number[]>();
  for (const event of events) {
    if (!matches(rule, event)) continue;
    const subject = rule.by === 'device' ? event.device : rule.by === 'module' ? (event.module ?? '') : '';
    groups.set(subject, [...(groups.get(subject) ?? []), event.receivedAt]);
  }
  return groups;
}
