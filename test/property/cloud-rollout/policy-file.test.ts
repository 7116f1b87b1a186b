import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AppError } from '#shared/kernel/errors.js';
import { readPolicyFile } from '#cloud/cli/policy-file.js';
import { parseYaml } from '#cloud/cli/yaml-input.js';
import { rolloutPolicySchema } from '#cloud/rollout/policy.js';
import { anyPolicy } from '#test/support/rollout-world.js';

const read = (text: string): unknown => readPolicyFile(parseYaml(text, 'p.yaml'), 'p.yaml');

function taken(text: string): unknown {
  try {
    return read(text);
  } catch (error) {
    expect(error).toBeInstanceOf(AppError);
    expect((error as AppError).message.length).toBeLessThan(5000);
    return undefined;
  }
}

describe('a policy file', () => {
  it('says what a policy is, whatever its defaults', () => {
    fc.assert(
      fc.property(anyPolicy, (policy) => {
        expect(read(JSON.stringify(policy))).toEqual(policy);
        expect(rolloutPolicySchema.parse(policy)).toEqual(policy);
      }),
    );
  });

  it('of any text is a policy or one clear error', () => {
    const word = fc.constantFrom(
      'waves',
      'count',
      'percent',
      'where',
      'rate',
      ':',
      '[',
      ']',
      '{',
      '}',
      '-',
      '1',
      '10%',
      '\n',
      '  ',
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.array(word).map((words) => words.join(' ')),
        ),
        (text) => void taken(text),
      ),
    );
  });

  it('of any value is a policy or one clear error', () => {
    const field = fc.constantFrom(...Object.keys(rolloutPolicySchema.shape), 'waevs');
    fc.assert(
      fc.property(fc.dictionary(field, fc.jsonValue(), { maxKeys: 4 }), (value) => void taken(JSON.stringify(value))),
    );
  });
});
