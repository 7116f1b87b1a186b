import { describe, expect, it } from 'vitest';
import type { NetworkProfile } from '../support/network/profiles.js';
import { runProfile } from '../support/network/profile-run.js';
import { hasOutsideTools } from '../support/outside-tool.js';

/** All that the profiles of `npm run chaos -- network` have, in little. */
const worst: NetworkProfile = {
  name: 'slow, losing packets and flapping',
  quality: { delayMs: 50, jitterMs: 10, bytesPerSecond: 250_000 },
  lossPercent: 2,
  cycles: { onSeconds: 4, offSeconds: 3, times: 2 },
  endless: false,
  timeScale: 1,
};

describe('a device behind a link that is slow, loses packets and comes and goes', () => {
  it.skipIf(!hasOutsideTools('ip', 'nft'))(
    'gets its new version, answers commands or says why not, and is counted once',
    async ({ skip }) => {
      const outcome = await runProfile(worst, { seed: 60, signal: new AbortController().signal, say: console.log });
      if (outcome === undefined && !process.env['CI']) skip('this user may make no network namespace');
      expect(outcome).toEqual({ lost: 0, doubled: 0 });
    },
  );
});
