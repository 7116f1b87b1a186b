/** A file of alert rules: YAML. What is wrong with it is told with its line, and an unknown name with the nearest. */
import { isMap, isNode, isScalar, type LineCounter, type Document } from 'yaml';
import type * as z from 'zod';
import { AppError } from '#shared/kernel/errors.js';
import { nearest } from '#shared/kernel/names.js';
import { readStrictYaml, type StrictYaml } from '#shared/package/strict-yaml.js';
import {
  type AlertRule,
  eventRuleSchema,
  metricRuleSchema,
  rolloutRuleSchema,
  ruleProblem,
  shiftRuleSchema,
} from '#cloud/alerts/alert-rule.js';
import { isMapping } from './yaml-fields.js';

const maxBytes = 256 * 1024;

/** What a rule is over, by the field that says so. */
const schemas = {
  ...{ metric: metricRuleSchema, event: eventRuleSchema },
  ...{ rollout: rolloutRuleSchema, shift: shiftRuleSchema },
} as const;
const sources = ['metric', 'event', 'rollout', 'shift'] as const;
const allFields = [...new Set(sources.flatMap((source) => Object.keys(schemas[source].shape)))];

type Path = readonly (string | number)[];

/** @throws AppError `request.invalid` */
export function parseAlertRules(text: string, file: string): AlertRule[] {
  const { value, document, lines } = readYaml(text, file);
  const refuse = (path: Path, message: string, key?: string): AppError => {
    const line = lineOf(document, lines, path, key);
    return new AppError('request.invalid', `${file}${line === undefined ? '' : ` line ${String(line)}`}: ${message}`);
  };
  const rules = isMapping(value) ? value['rules'] : undefined;
  if (!isMapping(value) || !Array.isArray(rules) || rules.length === 0) {
    throw refuse([], 'it must have "rules:" and a list of rules below it; flotilla alert apply --help shows one');
  }
  const other = Object.keys(value).find((key) => key !== 'rules');
  if (other !== undefined) throw refuse([], unknownField(other, ['rules']), other);
  const names = new Set<string>();
  return rules.map((rule: unknown, index) => {
    const checked = checkRule(rule, ['rules', index], refuse);
    if (names.has(checked.name)) throw refuse(['rules', index, 'name'], `two rules are named "${checked.name}"`);
    names.add(checked.name);
    return checked;
  });
}

function readYaml(text: string, file: string): StrictYaml {
  if (Buffer.byteLength(text) > maxBytes) throw new AppError('request.invalid', `${file} is larger than 256 KiB`);
  return readStrictYaml(text, ({ what, line, cause }) => {
    const at = line === undefined ? '' : ` line ${String(line)}`;
    return new AppError('request.invalid', `${file}${at}: not YAML: ${what}`, { cause });
  });
}

function checkRule(
  value: unknown,
  path: Path,
  refuse: (path: Path, message: string, key?: string) => AppError,
): AlertRule {
  if (!isMapping(value))
    throw refuse(path, 'a rule is a mapping with a name, and a metric, an event, a rollout or a shift');
  const [source, second] = sources.filter((one) => Object.hasOwn(value, one));
  if (source !== undefined && second !== undefined) {
    throw refuse(path, `a rule has ${article(source)} "${source}" or ${article(second)} "${second}", not both`, second);
  }
  const known = source === undefined ? allFields : Object.keys(schemas[source].shape);
  const unknown = Object.keys(value).find((key) => !known.includes(key));
  if (unknown !== undefined) throw refuse(path, unknownField(unknown, known), unknown);
  if (source === undefined)
    throw refuse(path, 'the rule has neither a "metric" nor an "event" nor a "rollout" nor a "shift"');
  const parsed = schemas[source].safeParse(value);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const within = (issue?.path ?? []).filter((part) => typeof part !== 'symbol');
    throw refuse([...path, ...within], `${within.join('.')}: ${issueText(issue)}`);
  }
  const problem = ruleProblem(parsed.data);
  if (problem) throw refuse([...path, problem.field], `${problem.field}: ${problem.message}`);
  return parsed.data;
}

function article(word: string): string {
  return word.startsWith('e') ? 'an' : 'a';
}

function issueText(issue: z.core.$ZodIssue | undefined): string {
  if (issue?.code === 'invalid_value') return `must be one of ${issue.values.map(String).join(', ')}`;
  if (issue?.code === 'invalid_type' && issue.input === undefined) return 'is missing';
  return issue?.message ?? 'is wrong';
}

function unknownField(key: string, fields: readonly string[]): string {
  const near = nearest(key, fields);
  const hint = near === undefined ? `; there are ${fields.join(', ')}` : `, did you mean "${near}"?`;
  return `unknown field "${key.slice(0, 64)}"${hint}`;
}

/** Of a key below the path where one is given, else of what stands there; of what holds it where nothing does. */
function lineOf(document: Document, lines: LineCounter, path: Path, key?: string): number | undefined {
  for (let length = path.length; length >= 0; length--) {
    const node: unknown = length === 0 ? document.contents : document.getIn(path.slice(0, length), true);
    const named = key !== undefined && length === path.length && isMap(node) ? keyNode(node, key) : node;
    const start = isNode(named) ? named.range?.[0] : undefined;
    if (start !== undefined) return lines.linePos(start).line;
  }
  return undefined;
}

function keyNode(map: { readonly items: readonly { readonly key: unknown }[] }, key: string): unknown {
  return map.items.find((pair) => isScalar(pair.key) && pair.key.value === key)?.key;
}
