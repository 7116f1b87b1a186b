import { describe, expect, it } from 'vitest';
import { AppError } from '#shared/kernel/errors.js';
import { trafficRules } from '#cloud/serve/traffic-flags.js';

const modules = [
  { name: 'digits', version: 1 },
  { name: 'digits', version: 2 },
  { name: 'digits', version: 3 },
  { name: 'gate', version: 1 },
];

describe('traffic flags', () => {
  it.each([
    ['nothing, without any', [], [], undefined],
    ['shares', ['digits=1:90,2:10'], [], { digits: { weights: { '1': 90, '2': 10 } } }],
    ['fractions of shares', ['digits=2:0.5'], [], { digits: { weights: { '2': 0.5 } } }],
    [
      'a copy beside shares',
      ['digits=1:1'],
      ['digits=2:0.5'],
      { digits: { weights: { '1': 1 }, shadow: { version: 2, rate: 0.5 } } },
    ],
    [
      'a copy of every request to the newest other version',
      [],
      ['digits=3'],
      { digits: { weights: { '2': 1 }, shadow: { version: 3, rate: 1 } } },
    ],
    [
      'a copy where the shares give the version nothing',
      ['digits=1:1,2:0'],
      ['digits=2:1'],
      { digits: { weights: { '1': 1, '2': 0 }, shadow: { version: 2, rate: 1 } } },
    ],
    [
      'rules for several modules',
      ['digits=1:1', 'gate=1:1'],
      [],
      { digits: { weights: { '1': 1 } }, gate: { weights: { '1': 1 } } },
    ],
  ])('make %s', (_what, traffic, shadow, rules) => {
    expect(trafficRules(modules, traffic, shadow)).toEqual(rules);
  });

  it.each([
    [['digits'], [], 'write for example --traffic digits=1:90,2:10'],
    [['digits='], [], 'write for example'],
    [['digits=1'], [], '"1" is no version:share'],
    [['digits=1:-5'], [], '"1:-5" is no version:share'],
    [['digits=1:1e9'], [], 'is no version:share'],
    [['digits=1:0'], [], 'one share must be above 0'],
    [['digits=1:1,1:2'], [], 'a version is named twice'],
    [['digits=4:1'], [], 'no version "4" of digits; there is 1, 2, 3'],
    [['digts=1:1'], [], 'did you mean digits?'],
    [['__proto__=1:1'], [], 'no module "__proto__" here'],
    [['digits=1:1', 'digits=2:1'], [], '--traffic is given twice for one module'],
    [[], ['digits=2:1.5'], 'from 0 to 1'],
    [[], ['digits=2:0.5:1'], 'from 0 to 1'],
    [[], ['gate=1'], 'one version of gate only'],
    [['digits=2:10,1:90'], ['digits=2:0.5'], 'version 2 answers requests already'],
  ])('%j with shadow %j are refused', (traffic, shadow, message) => {
    const refused = (): unknown => trafficRules(modules, traffic, shadow);
    expect(refused).toThrow(AppError);
    expect(refused).toThrow(message);
  });
});
