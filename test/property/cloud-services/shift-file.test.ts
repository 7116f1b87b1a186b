import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AppError } from '#shared/kernel/errors.js';
import { readShiftFile } from '#cloud/cli/shift-file.js';
import { parseYaml } from '#cloud/cli/yaml-input.js';
import { shiftPolicySchema } from '#cloud/services/shift/shift-policy.js';

const read = (text: string): unknown => readShiftFile(parseYaml(text, 's.yaml'), 's.yaml');

function taken(text: string): unknown {
  try {
    return read(text);
  } catch (error) {
    expect(error).toBeInstanceOf(AppError);
    expect((error as AppError).message.length).toBeLessThan(5000);
    return undefined;
  }
}

describe('the file of a shift', () => {
  it('says what a policy is, whatever its defaults', () => {
    const written = read('mirror: {}\ngates: { errors: { kind: errors, maxPercent: 1 } }\n');
    expect(written).toMatchObject({ mirror: { percent: 20 }, gates: { errors: { reference: 'peers' } } });
    expect(read(JSON.stringify(written))).toEqual(written);
  });

  it('of any text is a policy or one clear error', () => {
    const word = fc.constantFrom(
      'steps',
      'percent',
      'mirror',
      'gates',
      'kind',
      ':',
      '[',
      ']',
      '{',
      '}',
      '100',
      '\n',
      ' ',
    );
    const words = fc.array(word).map((some) => some.join(' '));
    fc.assert(fc.property(fc.oneof(fc.string(), words), (text) => void taken(text)));
  });

  it('of any value is a policy or one clear error', () => {
    const field = fc.constantFrom(...Object.keys(shiftPolicySchema.shape), 'stepps');
    fc.assert(
      fc.property(fc.dictionary(field, fc.jsonValue(), { maxKeys: 4 }), (value) => void taken(JSON.stringify(value))),
    );
  });
});
