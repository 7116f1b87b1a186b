/** Devices behind bad links: deploys converge, commands are answered or refused with a reason, telemetry is in the store once. */
import { type NetworkProfile, profiles } from '../network/profiles.js';
import { runProfile } from '../network/profile-run.js';
import { type ChaosRow, ChaosTally, type ChaosTopic } from './chaos.js';

export const topic: ChaosTopic = {
  name: 'network',
  about: 'a device behind links that come and go, are slow, or lose packets, while a version is deployed',
  run: async (bounds) => {
    const rows: ChaosRow[] = [];
    for (const [index, profile] of profiles.entries()) {
      if (bounds.signal.aborted) break;
      const tally = new ChaosTally(rowName(profile));
      for (let run = 0; run < Math.min(bounds.runs ?? 1, 1) && !bounds.signal.aborted; run++) {
        const outcome = await runProfile(profile, { ...bounds, seed: bounds.seed + index });
        if (outcome === undefined) bounds.say(`${profile.name}: left out, since no network namespace can be made here`);
        else tally.count(outcome);
      }
      rows.push(tally.row());
    }
    return rows;
  },
};

function rowName({ name, timeScale }: NetworkProfile): string {
  return timeScale === 1 ? `link: ${name}` : `link: ${name} (time 1:${String(timeScale)})`;
}
