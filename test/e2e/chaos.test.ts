/** A few runs of each topic of `npm run chaos`; all of them take hours. */
import { describe, expect, it } from 'vitest';
import type { ChaosTopic } from '../support/chaos/chaos.js';
import { topic as agentKill } from '../support/chaos/agent-kill.js';

/** Varied by hand; a fixed one keeps a failure findable. */
const seed = Number(process.env['FLOTILLA_CHAOS_SEED'] ?? 1);

async function failuresOf(topic: ChaosTopic, runs: number): Promise<readonly string[]> {
  const said: string[] = [];
  const rows = await topic.run({ runs, seed, signal: new AbortController().signal, say: (line) => said.push(line) });
  expect(rows.map(({ runs: each }) => each)).toEqual(rows.map(() => runs));
  return rows.flatMap(({ failures }) => failures);
}

describe('an agent killed at a change to its disk, and started again', () => {
  it('comes to what is desired, and only whole and proved versions have answered', async () => {
    expect(await failuresOf(agentKill, 6)).toEqual([]);
  });
});
