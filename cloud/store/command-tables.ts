/** The tables of commands to many devices and of schedules; in the control database, by the rules of `tables.ts`. */
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

/** What is to be done at some time, or again and again: see `cloud/schedule/`. */
export interface ScheduleTable {
  workspace: string;
  name: string;
  kind: string;
  whenJson: string;
  actionJson: string;
  /** Null: never again. */
  nextAt: number | null;
  lastAt: number | null;
  /** How that went. */
  lastJson: string | null;
  createdAt: string;
  createdBy: string;
}

export interface CommandDatabase {
  commandJobs: CommandJobTable;
  commandJobDevices: CommandJobDeviceTable;
  schedules: ScheduleTable;
}
