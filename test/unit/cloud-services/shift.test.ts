import { describe, expect, it } from 'vitest';
import type { Gate } from '#cloud/rollout/gates/gate-kinds.js';
import type { DeploymentStatus, ServicesStatus } from '#cloud/services/services-status.js';
import { readinessOf } from '#cloud/services/shift/readiness.js';
import { mirrorQuestions, shiftCohorts } from '#cloud/services/shift/shift-cohorts.js';
import type { Shift, ShiftMember } from '#cloud/services/shift/shift-model.js';
import { shiftPolicySchema } from '#cloud/services/shift/shift-policy.js';

const hour = 3_600_000;
const startedAt = 100 * hour;
const stageStartedAt = startedAt + 60_000;
const member = (deployment: string, module = 'digits'): ShiftMember => {
  return { deployment, revision: 1, module, version: 1, digest: `sha256:${deployment}` };
};
const shift = (others: readonly ShiftMember[], traffic: Record<string, number>): Shift => ({
  ...{ state: 'running', target: member('green'), others, before: { traffic: {} }, set: { traffic }, stage: 0 },
  ...{ startedAt, stageStartedAt, countedFrom: startedAt },
});
const gate = (fields: object): Gate => {
  const { gates } = shiftPolicySchema.parse({ gates: { speed: { kind: 'latency', maxRatio: 2, ...fields } } });
  if (gates?.['speed'] === undefined) throw new Error('there is no gate');
  return gates['speed'];
};

describe('whose numbers a gate of a shift judges by', () => {
  const blue = shift([member('blue'), member('old', 'numbers')], { blue: 90, green: 10 });

  it('are those of the target since its step began, and of who answers beside it; of who does not any more, since the shift began', () => {
    const { candidate, reference } = shiftCohorts(gate({ skipSeconds: 5 }), 'fraud', blue);
    expect(candidate).toMatchObject({
      ...{
        module: 'digits',
        devices: [{ device: 'fraud/green', fromMs: stageStartedAt + 5000, digests: ['sha256:green'] }],
      },
    });
    expect(reference).toMatchObject([
      { module: 'digits', devices: [{ device: 'fraud/blue', fromMs: stageStartedAt }] },
      { module: 'numbers', devices: [{ device: 'fraud/old', fromMs: startedAt }] },
    ]);
  });

  it.each([
    { reference: 'before', fromMs: startedAt - hour, toMs: startedAt },
    { reference: { beforeSeconds: 7200 }, fromMs: startedAt - 2 * hour, toMs: startedAt },
    {
      ...{ reference: { from: '2026-01-01T00:00:00.000Z', to: '2026-01-01T01:00:00.000Z' } },
      ...{ fromMs: Date.parse('2026-01-01T00:00:00.000Z'), toMs: Date.parse('2026-01-01T01:00:00.000Z') },
    },
  ])('are of what had traffic before, in the span of $reference', ({ reference, fromMs, toMs }) => {
    const [first] = shiftCohorts(gate({ reference }), 'fraud', blue).reference;
    expect(first?.devices).toMatchObject([{ device: 'fraud/blue', fromMs, toMs }]);
  });

  it('are of nobody else where it compares with nothing', () => {
    expect(shiftCohorts(gate({ maxRatio: undefined, maxMs: 5 }), 'fraud', blue).reference).toEqual([]);
  });

  it('are of copies what those told that answered live, under the word of the target', () => {
    expect(mirrorQuestions('fraud', blue)).toMatchObject([
      { module: 'digits', devices: [{ device: 'fraud/blue', digest: 'sha256:green', tag: 'mirror-green' }] },
      { module: 'numbers', devices: [{ device: 'fraud/old', digest: 'sha256:green', tag: 'mirror-green' }] },
    ]);
  });
});

describe('the target of a shift', () => {
  const about = { schema: 1, version: '0.0.0', startedAt: '2026-01-01T00:00:00.000Z', url: 'http://h:1' } as const;
  const numbers = { requests: 0, errors: 0, rejected: 0, outstanding: 0 };
  const said = (state: DeploymentStatus['state'], generation = 7): ServicesStatus => {
    const green = { name: 'green', revision: 1, state, replicas: [], wantedReplicas: 1, numbers };
    return { ...about, generation, endpoints: [{ id: 'e', deployments: [green] }] };
  };
  const look = (status: ServicesStatus, empty = false) =>
    readinessOf({ endpoint: 'e', target: member('green'), generation: 7, status, empty, since: 5 });

  it.each([
    { state: 'healthy', is: { kind: 'ready' } },
    { state: 'idle', is: { kind: 'ready' } },
    { state: 'starting', is: { kind: 'waiting', unhealthy: false, since: 5 } },
    { state: 'unhealthy', is: { kind: 'waiting', unhealthy: true, since: 5 } },
    { state: 'failed', is: { kind: 'failed' } },
  ] as const)('that is $state stands so', ({ state, is }) => {
    expect(look(said(state))).toMatchObject(is);
  });

  it('is unknown while the service host works by an older document, and fails where it is to have no replicas', () => {
    expect(look(said('healthy', 6))).toMatchObject({ kind: 'unknown' });
    expect(look({ ...said('healthy'), endpoints: [] })).toMatchObject({ kind: 'unknown' });
    expect(look(said('idle'), true)).toMatchObject({ kind: 'failed' });
  });
});
