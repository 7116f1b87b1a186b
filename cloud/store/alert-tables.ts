/** The tables of alerts in the control database. */
import type { Generated } from 'kysely';

export interface AlertRuleTable {
  workspace: string;
  name: string;
  ruleJson: string;
  createdAt: string;
  updatedAt: string;
}

/** What a rule stands at for one device, module or version, or for all. */
export interface AlertStateTable {
  workspace: string;
  rule: string;
  subject: string;
  firing: number;
  stateJson: string;
}

/** A notice that a destination has not taken yet. */
export interface AlertOutboxTable {
  id: Generated<number>;
  workspace: string;
  /** Empty: the log, and who follows events. */
  destination: string;
  payload: string;
  attempts: number;
  /** Epoch milliseconds. */
  nextAt: number;
  createdAt: number;
}

/** Up to which event of the telemetry store a workspace's rules are judged. */
export interface AlertCursorTable {
  workspace: string;
  eventId: number;
}

export interface AlertDatabase {
  alertRules: AlertRuleTable;
  alertStates: AlertStateTable;
  alertOutbox: AlertOutboxTable;
  alertCursors: AlertCursorTable;
}
