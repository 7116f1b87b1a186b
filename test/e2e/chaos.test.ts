/** A few runs of each topic of `npm run chaos`; all of them take hours. */
import { describe, expect, it } from 'vitest';
import { topic as agentCut } from '../support/chaos/agent-cut.js';
import { topic as agentKill } from '../support/chaos/agent-kill.js';
import { topic as badDay } from '../support/chaos/bad-day.js';
import type { ChaosTopic } from '../support/chaos/chaos.js';
import { topic as cloudKill } from '../support/chaos/cloud-kill.js';
import { topic as powerCut } from '../support/chaos/power-cut.js';
import { hasOutsideTools } from '../support/outside-tool.js';

/** Varied by hand; a fixed one keeps a failure findable. */
const seed = Number(process.env['FLOTILLA_CHAOS_SEED'] ?? 1);

async function failuresOf(topic: ChaosTopic, runs: number): Promise<readonly string[]> {
  const rows = await topic.run({ runs, seed, signal: new AbortController().signal, say: () => undefined });
  expect(rows.at(-1)?.runs).toBe(runs);
  return rows.flatMap(({ failures }) => failures);
}

describe('an agent killed at a change to its disk, and started again', () => {
  it.skipIf(!hasOutsideTools('strace'))(
    'comes to what is desired, and only whole and proved versions have answered; unharmed, it syncs what it names',
    async () => {
      expect(await failuresOf(agentKill, 1)).toEqual([]);
    },
  );
});

describe('a control plane killed at a change to its disk or database, and started again', () => {
  it('has every effect once, and nothing left over', async () => {
    expect(await failuresOf(cloudKill, 1)).toEqual([]);
  });
});

describe('a device whose power is cut while it writes', () => {
  it('starts from whatever the disk has kept, with all that was promised', async () => {
    expect(await failuresOf(powerCut, 60)).toEqual([]);
  });
});

describe('a built agent whose power is cut while it writes', () => {
  it('answers from what the disk has kept as it had said it would, and comes to what is desired', async () => {
    expect(await failuresOf(agentCut, 1)).toEqual([]);
  });
});

describe('a device offline, killed twice, on a full disk, with its clock set back a year', () => {
  it.skipIf(!hasOutsideTools('faketime'))(
    'comes to what is desired once it is online, and has counted every answer once',
    async () => {
      expect(await failuresOf(badDay, 1)).toEqual([]);
    },
  );
});
