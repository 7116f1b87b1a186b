/**
 * What befalls a shift, to the rules of alerts that ask for it: written into their outbox in the transaction of the step
 * itself, so that a kill tells each once or, with the step, not at all.
 */
import { createHash } from 'node:crypto';
import { AlertRepository } from '#cloud/alerts/alert-repository.js';
import { isShiftRule } from '#cloud/alerts/alert-rule.js';
import { asksForShift, type ShiftNotice, shiftHappeningOf } from '#cloud/alerts/shift-notice.js';
import type { Database } from '#cloud/fleet/device-repository.js';
import type { ShiftEntry, StoredShift } from './shift-repository.js';

/** @param stored as it is after the step */
export async function tellShiftRules(
  transaction: Database,
  { workspace, endpoint: id, number, shift }: StoredShift,
  { at, kind, text }: ShiftEntry,
): Promise<void> {
  const happening = shiftHappeningOf(kind);
  if (happening === undefined) return;
  const alerts = new AlertRepository(transaction);
  const rules = (await alerts.rules(workspace)).map(({ rule }) => rule).filter(isShiftRule);
  if (rules.length === 0) return;
  // One that was deleted meanwhile has its row still.
  const { name: endpoint } = await transaction
    .selectFrom('endpoints')
    .select('name')
    .where('id', '=', id)
    .executeTakeFirstOrThrow();
  const { target, state, reason, set } = shift;
  for (const rule of rules) {
    if (!asksForShift(rule, happening, endpoint)) continue;
    const notice: ShiftNotice = {
      // With its text: two gates may hold a step from the same moment on.
      id: idOf(id, String(number), at, kind, text, rule.name),
      ...{ type: `shift.${happening}`, at, workspace, rule: rule.name, severity: rule.severity },
      ...{ endpoint, shift: number, deployment: target.deployment, state, traffic: set.traffic },
      ...(reason === undefined ? {} : { reason }),
      summary: `shift ${String(number)} of ${endpoint} to ${target.deployment}: ${happening}, ${text}`,
    };
    await alerts.addNotice(notice, rule.notify, Date.parse(at));
  }
}

/** From what it tells of: a step that is planned again, as its transaction did not go through, tells the same. */
function idOf(...parts: readonly string[]): string {
  return createHash('sha256').update(parts.join('\n')).digest('base64url').slice(0, 32);
}
