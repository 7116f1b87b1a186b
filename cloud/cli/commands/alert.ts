/** `flotilla alert apply | list | show | delete | test`: rules that tell when a metric leaves its bounds or events come. */
import { Command } from 'commander';
import { stringify } from 'yaml';
import { AppError } from '#shared/kernel/errors.js';
import { routes } from '#cloud/client/routes.js';
import type { AlertRuleBody, AlertStateBody } from '#cloud/http/schemas/alerts.js';
import { parseAlertRules } from '../alert-file.js';
import { parseName } from '../argument-parsers.js';
import type { CliIo } from '../cli-io.js';
import { withExamples } from '../help.js';
import { readAll, readTextFile } from '../input.js';
import { afterOption, noteMore, type PageFlags, readPageFlags } from '../list-paging.js';
import { formatAge, formatList, formatTable, printable } from '../output.js';
import { withSession } from '../session.js';

export function alertCommand(io: CliIo): Command {
  const group = new Command('alert').description('Alerts: rules over telemetry, events and rollouts, and what fires.');
  for (const command of [applyCommand(io), listCommand(io), showCommand(io), deleteCommand(io), testCommand(io)]) {
    group.addCommand(command);
  }
  return withExamples(
    group,
    'flotilla alert apply -f rules.yaml',
    'flotilla alert list',
    'flotilla alert show slow-digits',
  );
}

const example = `
A file of rules:
  rules:
    - name: slow-digits
      metric: latency.p99        # flotilla telemetry --metric latency.p99
      module: digits
      by: device                 # an alert for each; or module, version; without it one for all
      above: 50                  # or below
      clear: 40                  # over again only here
      over: 5m
      for: 2m
      severity: critical
      notify: [ops]              # a destination of the control plane, beside its log and flotilla events
    - name: anomalies
      event: module.output       # or module.*
      by: device
      count: 3
      over: 10m
    - name: rollouts
      rollout: [held, paused, failed, rolled-back, succeeded]   # or any; each is told once
      fleet: line-3
      notify: [ops]
`;

function applyCommand(io: CliIo): Command {
  const command = new Command('apply')
    .description('Put the rules of a YAML file in force, all or none; others stay as they are.')
    .requiredOption('-f, --file <path>', 'the file; "-" reads standard input')
    .addHelpText('after', example)
    .action(async ({ file }: { readonly file: string }) => {
      const where = file === '-' ? 'standard input' : file;
      const text = file === '-' ? await readAll(io.stdin, where) : await readTextFile(file);
      const rules = parseAlertRules(text, where);
      await withSession(io, command, async ({ client, out }) => {
        const applied = await client.call(routes.alertRulesApply, { body: { rules } });
        out.result(applied.rules, () => applied.rules.map(({ name, outcome }) => `${name} ${outcome}`).join('\n'));
      });
    });
  return withExamples(command, 'flotilla alert apply -f rules.yaml', 'flotilla alert apply -f - --output json');
}

function listCommand(io: CliIo): Command {
  const command = new Command('list')
    .description('List the rules, and what fires or is about to.')
    .option('--limit <count>', 'of what fires at most so many (default: all)')
    .option(...afterOption)
    .action(async (options: PageFlags) => {
      const { limit, cursor } = readPageFlags(options);
      await withSession(io, command, async ({ client, out }) => {
        const rules = await client.list(routes.alertRules, {});
        const { items: alerts, next } = await client.piece(routes.alerts, { query: { cursor } }, limit);
        out.result({ rules, alerts }, () => describe(rules, alerts, io.clock.now()));
        noteMore(out, { next });
      });
    });
  return withExamples(command, 'flotilla alert list', 'flotilla alert list --limit 100 --output json');
}

function describe(rules: readonly AlertRuleBody[], alerts: readonly AlertStateBody[], now: number): string {
  const table = formatList(
    rules,
    ['RULE', 'SEVERITY', 'WHEN', 'NOTIFY', 'FIRING'],
    ({ rule, firing }) => [
      ...[rule.name, rule.severity, conditionOf(rule), rule.notify.join(', ') || '-', String(firing)],
    ],
    'no rules; flotilla alert apply -f rules.yaml puts some in force\n',
  );
  return alerts.length === 0 ? table : `${table}\n${alertTable(alerts, now)}`;
}

function alertTable(alerts: readonly AlertStateBody[], now: number): string {
  return formatTable(
    ['ALERT', 'OF', 'STATE', 'VALUE', 'THRESHOLD', 'SINCE'],
    alerts.map(({ rule, subject, state, value, threshold, since }) => [
      ...[rule, subject === '' ? 'all' : subject, state, String(Number(value.toPrecision(6))), String(threshold)],
      formatAge(since, now),
    ]),
  );
}

function conditionOf(rule: AlertRuleBody['rule']): string {
  if ('rollout' in rule) {
    const of = rule.fleet === undefined ? '' : ` of ${rule.fleet}`;
    return `rollouts${of}: ${rule.rollout === 'any' ? 'whatever befalls them' : rule.rollout.join(', ')}`;
  }
  if ('shift' in rule) {
    const of = rule.endpoint === undefined ? '' : ` of ${rule.endpoint}`;
    return `shifts${of}: ${rule.shift === 'any' ? 'whatever befalls them' : rule.shift.join(', ')}`;
  }
  const of = [rule.module, rule.device].filter((name) => name !== undefined);
  const where = of.length === 0 ? '' : ` of ${of.join(' on ')}`;
  const by = rule.by === undefined ? '' : ` by ${rule.by}`;
  if ('event' in rule) return `${rule.event}${where} ${String(rule.count)} times in ${rule.over}${by}`;
  const bound = rule.above === undefined ? `below ${String(rule.below)}` : `above ${String(rule.above)}`;
  return `${rule.metric}${where} ${bound} over ${rule.over}${by}`;
}

function showCommand(io: CliIo): Command {
  const command = new Command('show')
    .description('Show a rule as it stands in a file, and what it stands at.')
    .argument('<rule>')
    .option('--limit <count>', 'of what fires at most so many (default: all)')
    .option(...afterOption)
    .action(async (text: string, options: PageFlags) => {
      const name = parseName(text, 'rule');
      const { limit, cursor } = readPageFlags(options);
      await withSession(io, command, async ({ client, out }) => {
        const rules = await client.list(routes.alertRules, {});
        const found = rules.find(({ rule }) => rule.name === name);
        if (!found)
          throw new AppError(
            'alert.not-found',
            `there is no rule "${name}"; flotilla alert list shows those there are`,
          );
        const { items: own, next } = await client.piece(routes.alerts, { query: { rule: name, cursor } }, limit);
        out.result({ ...found, alerts: own }, () => {
          const yaml = printableLines(stringify({ rules: [found.rule] }));
          return own.length === 0 ? `${yaml}\nit does not fire\n` : `${yaml}\n${alertTable(own, io.clock.now())}`;
        });
        noteMore(out, { next });
      });
    });
  return withExamples(command, 'flotilla alert show slow-digits');
}

function deleteCommand(io: CliIo): Command {
  const command = new Command('delete')
    .description('Delete a rule; what fired by it is told to be over.')
    .argument('<rule>')
    .action(async (text: string) => {
      const rule = parseName(text, 'rule');
      await withSession(io, command, async ({ client, out }) => {
        await client.call(routes.alertRuleDelete, { params: { rule } });
        out.result({ deleted: rule }, () => `deleted ${rule}`);
      });
    });
  return withExamples(command, 'flotilla alert delete slow-digits');
}

function testCommand(io: CliIo): Command {
  const command = new Command('test')
    .description('Send a test notice to all destinations of a rule.')
    .argument('<rule>')
    .action(async (text: string) => {
      const rule = parseName(text, 'rule');
      await withSession(io, command, async ({ client, out }) => {
        const sent = await client.call(routes.alertRuleTest, { params: { rule } });
        const where = ['the log', 'flotilla events', ...sent.destinations].join(', ');
        out.result(sent, () => `notice ${sent.id} is on its way to ${where}`);
      });
    });
  return withExamples(command, 'flotilla alert test slow-digits');
}

function printableLines(text: string): string {
  return text.split('\n').map(printable).join('\n');
}
