/** The tables of shifts of traffic, as Kysely sees them; in the control database, by the rules of `tables.ts`. */
import type { Generated } from 'kysely';
import type { ShiftState } from '#cloud/services/shift/shift-model.js';

/** Traffic of an endpoint on its way to another deployment: see `cloud/services/shift/`. */
export interface ShiftTable {
  workspace: string;
  /** The endpoint's id. */
  endpoint: string;
  /** Counted within the endpoint, from 1. */
  number: number;
  /** The deployment that is to answer everything. */
  target: string;
  policyJson: string;
  state: ShiftState;
  stateJson: string;
  /** Rises with every change: who writes names the one that it read. */
  revision: number;
  createdAt: string;
  createdBy: string;
  updatedAt: string;
  endedAt: string | null;
}

export interface ShiftHistoryTable {
  id: Generated<number>;
  workspace: string;
  endpoint: string;
  shift: number;
  at: string;
  kind: string;
  text: string;
}

/** Of each stage the verdicts that it ended with. */
export interface ShiftGateTable {
  workspace: string;
  endpoint: string;
  shift: number;
  stage: number;
  gate: string;
  /** Empty where the gate is of no module. */
  module: string;
  at: string;
  /** GateVerdict. */
  verdictJson: string;
}

export interface ShiftDatabase {
  shifts: ShiftTable;
  shiftHistory: ShiftHistoryTable;
  shiftGates: ShiftGateTable;
}
