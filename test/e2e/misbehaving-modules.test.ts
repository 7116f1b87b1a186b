import { expect, it } from 'vitest';
import { runMisbehaving } from '../support/chaos/misbehaving-modules.js';

const bounds = { runs: 1, seed: 1, signal: new AbortController().signal, say: () => undefined };

it.runIf(process.getuid?.() === 0 && process.platform === 'linux')(
  'modules that misbehave are bounded, told with their cause, and take nothing with them',
  async () => {
    const rows = await runMisbehaving(bounds);
    console.table(rows.map(({ failures, ...row }) => ({ ...row, failures: failures.join('; ') })));
    expect(rows.filter(({ runs, survived, lost, doubled }) => survived < runs || lost + doubled > 0)).toEqual([]);
    expect(rows).toHaveLength(10);
  },
);
