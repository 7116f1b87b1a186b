import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AppError } from '#shared/kernel/errors.js';
import { parseAlertRules } from '#cloud/cli/alert-file.js';

function refusal(text: string): string {
  try {
    parseAlertRules(text, 'rules.yaml');
  } catch (error) {
    if (error instanceof AppError) return `${error.code}: ${error.message}`;
    throw error;
  }
  return 'accepted';
}

const good = `rules:
  - name: slow
    metric: latency.p99
    above: 50
  - name: alarms
    event: machine.*
    count: 3
`;
const rollouts = `rules:
  - name: rollouts
    rollout: [paused, failed]
    fleet: line-3
`;

describe('a file of alert rules', () => {
  it('is read with its defaults', () => {
    expect(parseAlertRules(good, 'rules.yaml')).toEqual([
      expect.objectContaining({ name: 'slow', metric: 'latency.p99', above: 50, over: '5m', for: '0s', atLeast: 1 }),
      expect.objectContaining({ name: 'alarms', event: 'machine.*', count: 3, severity: 'warning', notify: [] }),
    ]);
  });

  it('may be of one device, or of one deployment of a web service', () => {
    for (const device of ['cam-1', 'fraud/blue']) {
      const [rule] = parseAlertRules(good.replace('above: 50', `above: 50\n    device: ${device}`), 'f');
      expect(rule).toMatchObject({ device });
    }
    const wrong = refusal(good.replace('above: 50', 'above: 50\n    device: fraud/blue/x'));
    expect(wrong).toContain('line 5: device: must be the name of a device, or a deployment as in fraud/blue');
  });

  it('may be told what befalls rollouts', () => {
    expect(parseAlertRules(rollouts, 'rules.yaml')).toEqual([
      { name: 'rollouts', rollout: ['paused', 'failed'], fleet: 'line-3', severity: 'warning', notify: [] },
    ]);
    expect(parseAlertRules(rollouts.replace('[paused, failed]', 'any'), 'f')[0]).toMatchObject({ rollout: 'any' });
    expect(refusal(rollouts.replace('paused', 'pasued'))).toContain(
      'line 3: rollout: must be any, or a list of started',
    );
    expect(refusal(rollouts.replace('fleet', 'device'))).toContain('line 4: unknown field "device"');
    expect(refusal(`${rollouts}    event: x\n`)).toContain('line 3: a rule has an "event" or a "rollout", not both');
  });

  it.each([
    ['unknown field', good.replace('above', 'abvoe'), 'line 4: unknown field "abvoe", did you mean "above"?'],
    [
      'unknown metric',
      good.replace('latency.p99', 'latency.p95'),
      'line 3: metric: there is no metric "latency.p95"; did you mean',
    ],
    [
      'wrong duration',
      good.replace('count: 3', 'over: 10 minutes'),
      'line 7: over: is no duration; write for example 90s, 5m',
    ],
    ['too short a span', good.replace('count: 3', 'over: 10s'), 'line 7: over: must be from 1m to 7d'],
    [
      'wrong choice',
      good.replace('count: 3', 'severity: bad'),
      'line 7: severity: must be one of info, warning, critical',
    ],
    ['wrong type', good.replace('50', 'much'), 'line 4: above:'],
    ['a field of the other kind', good.replace('count: 3', 'above: 3'), 'line 7: unknown field "above"'],
    ['both kinds', good.replace('count: 3', 'metric: cpu'), 'line 6: a rule has a "metric" or an "event", not both'],
    ['neither kind', 'rules:\n  - name: x\n    notfy: [a]\n', 'line 3: unknown field "notfy", did you mean "notify"?'],
    ['no condition', 'rules:\n  - name: x\n', 'line 2: the rule has neither a "metric" nor an "event"'],
    ['no name', 'rules:\n  - metric: cpu\n    above: 1\n', 'line 2: name: is missing'],
    ['no bound', good.replace('    above: 50\n', ''), 'line 3: metric: give either "above" or "below"'],
    ['two bounds', good.replace('above: 50', 'above: 50\n    below: 5'), 'line 5: below: give either'],
    [
      'a clear beyond the bound',
      good.replace('above: 50', 'above: 50\n    clear: 60'),
      'line 5: clear: must be at most "above"',
    ],
    [
      'a module of a machine',
      good.replace('latency.p99', 'cpu.max\n    module: a'),
      'line 3: metric: "cpu.max" is of the machine',
    ],
    ['one name twice', good.replace('alarms', 'slow'), 'line 5: two rules are named "slow"'],
    ['no rules', 'rule: []\n', 'rules.yaml line 1: it must have "rules:"'],
    ['another key', `${good}extra: 1\n`, 'line 8: unknown field "extra"'],
    ['broken YAML', 'rules:\n  - name: [\n', 'line 3: not YAML: '],
    ['a key twice', good.replace('above: 50', 'above: 50\n    above: 60'), 'line 5: not YAML: Map keys must be unique'],
  ])('with %s says where, and what to write', (_what, text, part) => {
    expect(refusal(text)).toMatch(/^request.invalid: rules.yaml/);
    expect(refusal(text)).toContain(part);
  });

  it('never fails otherwise, whatever it holds', () => {
    const line = fc.constantFrom(
      'rules:',
      '- name: a',
      '  metric: cpu',
      '  above: 1',
      '  event: x',
      '&a',
      '*a',
      '? [',
      '{',
      '!!set',
      '|',
    );
    const text = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.array(line).map((lines) => lines.join('\n')),
    );
    fc.assert(
      fc.property(text, (any) => {
        expect(refusal(any)).toMatch(/^request.invalid: rules.yaml|^accepted$/);
      }),
      { examples: [['*a'], ['a: &a {}\nrules: [*a]'], ['['.repeat(20_000)]] },
    );
  });
});
