/** The tables of commands to many devices; in the control database, by the rules of `tables.ts`. */
import type { JobState, Standing } from '#cloud/commands/command-model.js';

export interface CommandJobTable {
  workspace: string;
  /** Counted within the workspace, from 1. */
  number: number;
  operation: string;
  argumentsJson: string;
  /** The saved fleet that was named, if one was. */
  fleet: string | null;
  /** In the query language, as it was when the job began. */
  query: string;
  concurrency: number;
  timeoutMs: number;
  /** Instants here are milliseconds since the epoch, but for the three at the end. */
  deadlineAt: number;
  nonce: string;
  state: JobState;
  devices: number;
  /** Of all answers that are kept. */
  answerBytes: number;
  schedule: string | null;
  createdAt: string;
  createdBy: string;
  endedAt: string | null;
}

export interface CommandJobDeviceTable {
  workspace: string;
  job: number;
  device: string;
  standing: Standing;
  sentAt: number | null;
  timeoutAt: number | null;
  endedAt: number | null;
  answerJson: string | null;
  problemJson: string | null;
}

export interface CommandDatabase {
  commandJobs: CommandJobTable;
  commandJobDevices: CommandJobDeviceTable;
}
