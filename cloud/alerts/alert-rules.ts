/** Rules applied and deleted. A rule that changes or goes begins anew: what fired by it is told to be over. */
import { AppError } from '#shared/kernel/errors.js';
import { toInstant, type Clock } from '#shared/kernel/clock.js';
import type { NewId } from '#shared/kernel/ids.js';
import { nearest } from '#shared/kernel/names.js';
import type { TelemetryPort } from '#cloud/telemetry/telemetry-port.js';
import { type AlertNotice, noticeOf } from './alert-notice.js';
import type { AlertRepository } from './alert-repository.js';
import { type AlertRule, isEventRule, ruleProblem } from './alert-rule.js';

export interface AlertRulesOptions {
  readonly alerts: AlertRepository;
  readonly telemetry: Pick<TelemetryPort, 'newEvents'>;
  readonly clock: Clock;
  readonly newId: NewId;
  /** Names of the destinations that notices can go to. */
  readonly destinations: readonly string[];
  /** There is something to tell, or to judge. */
  readonly onChanged: () => void;
}

export type RuleOutcome = 'created' | 'changed' | 'unchanged';

/** Of one workspace. */
const maxRules = 200;

export class AlertRules {
  constructor(private readonly options: AlertRulesOptions) {}

  /** All of them or none. @throws AppError `request.invalid` */
  async apply(
    workspace: string,
    rules: readonly AlertRule[],
  ): Promise<{ readonly name: string; readonly outcome: RuleOutcome }[]> {
    this.check(rules);
    const { alerts, clock, telemetry } = this.options;
    // Events from now on; asked before the rule is there, so that none falls between.
    const { newest } = await telemetry.newEvents({ workspace, after: 0, limit: 1 });
    const at = toInstant(clock.now());
    const applied = await alerts.transaction(async (within) => {
      const outcomes: { name: string; outcome: RuleOutcome }[] = [];
      const stored = new Map((await within.rules(workspace)).map((one) => [one.rule.name, one]));
      for (const rule of rules) {
        const before = stored.get(rule.name);
        const outcome = before === undefined ? 'created' : sameRule(before.rule, rule) ? 'unchanged' : 'changed';
        outcomes.push({ name: rule.name, outcome });
        if (outcome === 'unchanged') continue;
        if (before !== undefined) await this.endStates(within, workspace, before.rule, 'the rule was changed');
        await within.putRule({ workspace, rule, createdAt: before?.createdAt ?? at, updatedAt: at });
      }
      const total = await within.rules(workspace);
      if (total.length > maxRules) {
        throw new AppError('request.invalid', `a workspace has ${String(maxRules)} rules at most: delete some`);
      }
      await keepCursor(
        within,
        workspace,
        total.map(({ rule }) => rule),
        newest,
      );
      return outcomes;
    });
    this.options.onChanged();
    return applied;
  }

  /** @throws AppError `alert.not-found` */
  async remove(workspace: string, name: string): Promise<void> {
    await this.options.alerts.transaction(async (within) => {
      const stored = await this.find(workspace, name, within);
      await this.endStates(within, workspace, stored, 'the rule was deleted');
      await within.removeRule(workspace, name);
      const left = await within.rules(workspace);
      await keepCursor(
        within,
        workspace,
        left.map(({ rule }) => rule),
        0,
      );
    });
    this.options.onChanged();
  }

  /** Tells all destinations of the rule that nothing is wrong. @throws AppError `alert.not-found` */
  async test(workspace: string, name: string): Promise<AlertNotice> {
    const { alerts, clock, newId } = this.options;
    const rule = await this.find(workspace, name, alerts);
    const atMs = clock.now();
    const change = { kind: 'test', incident: newId(), value: 0, sinceMs: atMs } as const;
    const notice = { ...noticeOf({ id: newId(), workspace, rule, subject: '', change, atMs }), value: null };
    await alerts.transaction((within) => within.addNotice(notice, rule.notify, atMs));
    this.options.onChanged();
    return notice;
  }

  private async find(workspace: string, name: string, alerts: AlertRepository): Promise<AlertRule> {
    const stored = await alerts.rule(workspace, name);
    if (stored) return stored.rule;
    const names = (await alerts.rules(workspace)).map(({ rule }) => rule.name);
    const near = nearest(name, names);
    const hint = near === undefined ? 'flotilla alert list shows those there are' : `did you mean "${near}"?`;
    throw new AppError('alert.not-found', `there is no rule "${name}"; ${hint}`);
  }

  private check(rules: readonly AlertRule[]): void {
    const names = new Set<string>();
    for (const rule of rules) {
      const refuse = (field: string, message: string): AppError =>
        new AppError('request.invalid', `rule "${rule.name}": ${field}: ${message}`);
      if (names.has(rule.name)) throw refuse('name', 'two rules have it');
      names.add(rule.name);
      const problem = ruleProblem(rule);
      if (problem) throw refuse(problem.field, problem.message);
      const { destinations } = this.options;
      const unknown = rule.notify.find((name) => !destinations.includes(name));
      if (unknown === undefined) continue;
      const near = nearest(unknown, destinations);
      const known = destinations.length === 0 ? 'none is configured' : `there are ${destinations.join(', ')}`;
      const hint = near === undefined ? known : `did you mean "${near}"?`;
      throw refuse('notify', `there is no destination "${unknown}"; ${hint} (alerts.destinationsFile)`);
    }
  }

  private async endStates(within: AlertRepository, workspace: string, rule: AlertRule, reason: string): Promise<void> {
    const { clock, newId } = this.options;
    const atMs = clock.now();
    for (const { subject, state } of await within.states(workspace, rule.name)) {
      if (state.state !== 'firing') continue;
      const { incident, value, sinceMs } = state;
      const change = { kind: 'cleared', incident, value, sinceMs, reason } as const;
      const notice = noticeOf({ id: newId(), workspace, rule, subject, change, atMs });
      await within.addNotice(notice, rule.notify, atMs);
    }
    await within.removeStates(workspace, rule.name);
  }
}

async function keepCursor(
  within: AlertRepository,
  workspace: string,
  rules: readonly AlertRule[],
  newest: number,
): Promise<void> {
  if (!rules.some(isEventRule)) await within.removeCursor(workspace);
  else if ((await within.cursor(workspace)) === undefined) await within.putCursor(workspace, newest);
}

function sameRule(a: AlertRule, b: AlertRule): boolean {
  const inOrder = (rule: AlertRule): string =>
    JSON.stringify(Object.entries(rule).sort(([x], [y]) => (x < y ? -1 : 1)));
  return inOrder(a) === inOrder(b);
}
