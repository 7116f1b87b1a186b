/**
 * What befalls a rollout, to the rules of alerts that ask for it: written into their outbox in the transaction of the
 * step itself, so that a kill tells each once or, with the step, not at all.
 */
import { createHash } from 'node:crypto';
import { AlertRepository } from '#cloud/alerts/alert-repository.js';
import { isRolloutRule } from '#cloud/alerts/alert-rule.js';
import { asksFor, happeningOf, type RolloutNotice } from '#cloud/alerts/rollout-notice.js';
import type { Database } from '#cloud/fleet/device-repository.js';
import type { Rollout } from './rollout-model.js';
import type { HistoryEntry, StoredRollout } from './rollout-repository.js';

type Told = Pick<StoredRollout, 'workspace' | 'number' | 'release' | 'fleet'>;

/** @param rollout as it is after the step */
export async function tellRules(
  transaction: Database,
  { workspace, number, release, fleet }: Told,
  rollout: Rollout,
  { at, kind, text, device }: HistoryEntry,
): Promise<void> {
  const happening = device === undefined ? happeningOf(kind) : undefined;
  if (happening === undefined) return;
  const alerts = new AlertRepository(transaction);
  for (const { rule } of await alerts.rules(workspace)) {
    if (!isRolloutRule(rule) || !asksFor(rule, happening, { fleet })) continue;
    const notice: RolloutNotice = {
      // With wave and text: two gates may hold a wave from the same moment on.
      id: idOf(workspace, String(number), String(rollout.wave), at, kind, text, rule.name),
      ...{ type: `rollout.${happening}`, at, workspace, rule: rule.name, severity: rule.severity },
      ...{ rollout: number, release, fleet, state: rollout.state, wave: rollout.wave + 1, waves: rollout.waves },
      ...(rollout.reason === undefined ? {} : { reason: rollout.reason }),
      summary: `rollout ${String(number)} of ${release} over ${fleet}: ${happening}${text === '' ? '' : `, ${text}`}`,
    };
    await alerts.addNotice(notice, rule.notify, Date.parse(at));
  }
}

/** From what it tells of: a step that is planned again, as its transaction did not go through, tells the same. */
function idOf(...parts: readonly string[]): string {
  return createHash('sha256').update(parts.join('\n')).digest('base64url').slice(0, 32);
}
