/** Fields of gates in a file of somebody's, each known by the gate's kind. Pure. */
import { gateFields } from '#cloud/rollout/gates/gate-kinds.js';
import { isMapping, refuseUnknownFields } from './yaml-fields.js';

/** What is no mapping, or of no kind, is left to the schema. @throws AppError `request.invalid` with the nearest valid one */
export function refuseUnknownGateFields(gates: unknown, where: string): void {
  if (!isMapping(gates)) return;
  for (const [name, gate] of Object.entries(gates)) {
    const fields = isMapping(gate) ? gateFields(gate['kind']) : undefined;
    if (isMapping(gate) && fields) refuseUnknownFields(gate, fields, where, `gates.${name}.`);
  }
}
