/** The table of what is begun at some time, or again and again; in the control database, by the rules of `tables.ts`. */
import type { ScheduleKindName } from '#cloud/schedule/schedule.js';

export interface ScheduleTable {
  workspace: string;
  kind: ScheduleKindName;
  /** Of kinds whose schedules have numbers, the number. */
  name: string;
  /** ScheduleTime. */
  whenJson: string;
  /** Null: begun however late. */
  lateSeconds: number | null;
  /** For the kind to read. */
  actionJson: string;
  /** Milliseconds since the epoch, as the next; null: never again. */
  nextAt: number | null;
  lastAt: number | null;
  /** LastTime. */
  lastJson: string | null;
  /** 0 or 1. */
  cancelled: number;
  createdAt: string;
  createdBy: string;
}

export interface ScheduleDatabase {
  schedules: ScheduleTable;
}
