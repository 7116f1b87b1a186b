import fc from 'fast-check';
import { expect, test } from 'vitest';
import { AppError } from '#shared/kernel/errors.js';
import { simulationProfileSchema, simulationProfiles } from '#shared/protocol/simulation.js';
import { checkProfile } from '#cloud/cli/simulation-profile.js';

const fields = ['groups', 'name', 'percent', 'with', 'away', 'loadSeconds', 'telemetry', 'drift', 'rejects', 'groupz'];
const nearProfiles = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.constantFrom(0, 1, 50, 101, -1, true, 'digits:2', 'slow', null),
    fc.array(tie('value'), { maxLength: 3 }),
    fc.dictionary(fc.constantFrom(...fields), tie('value'), { maxKeys: 4 }),
  ),
})).value;

test('whatever a file holds is a profile, or is refused in words that name the file', () => {
  fc.assert(
    fc.property(nearProfiles, (value) => {
      try {
        // What is taken is whole, and stays what it is when it is written and read again.
        const profile = checkProfile(value, 'fleet.yaml');
        expect(checkProfile(JSON.parse(JSON.stringify(profile)), 'again')).toEqual(profile);
      } catch (error) {
        expect(error).toBeInstanceOf(AppError);
        expect((error as AppError).message).toMatch(/^fleet\.yaml: ./);
      }
    }),
    { numRuns: 200 },
  );
});

test('every profile that goes by a name is one', () => {
  for (const profile of Object.values(simulationProfiles)) simulationProfileSchema.parse(profile);
});

test('shares of more than a hundred, doubled names and unknown fields are refused', () => {
  const group = { name: 'slow', percent: 60 };
  const refusal = (value: unknown): string => {
    try {
      checkProfile(value, 'fleet.yaml');
      return 'taken';
    } catch (error) {
      return (error as AppError).message;
    }
  };
  expect(refusal({ groups: [group, { ...group, name: 'other' }] })).toContain('more than 100 percent');
  expect(
    refusal({
      groups: [
        { ...group, percent: 1 },
        { ...group, percent: 1 },
      ],
    }),
  ).toContain('same name');
  expect(refusal({ groups: [{ ...group, latencyms: 3 }] })).toContain('did you mean groups.0.latencyMs?');
  expect(refusal({ loadSeconds: [3] })).toContain('loadSeconds');
});
