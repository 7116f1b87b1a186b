/** The tables of activities; in the control database, by the rules of `tables.ts`. */
import type { Generated } from 'kysely';

export interface ActivityTable {
  id: string;
  workspace: string;
  kind: string;
  state: 'not-started' | 'running' | 'succeeded' | 'failed' | 'cancelled';
  subject: string;
  inputJson: string;
  resource: string | null;
  problemJson: string | null;
  cancelRequested: number;
  createdAt: string;
  startedAt: string | null;
  endedAt: string | null;
}

export interface ActivityLogTable {
  id: Generated<number>;
  activity: string;
  at: string;
  text: string;
}

export interface ActivityDatabase {
  activities: ActivityTable;
  activityLog: ActivityLogTable;
}
