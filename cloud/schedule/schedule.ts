/** What is begun at some time, or again and again, and what can be begun so. */
import type { Database } from '#cloud/fleet/device-repository.js';
import type { Punctuality } from './schedule-time.js';

export type ScheduleKindName = 'command' | 'rollout';

export interface LastTime {
  readonly outcome: 'begun' | 'missed' | 'failed';
  readonly text: string;
  /** Of what was begun. */
  readonly number?: number | undefined;
}

export interface Schedule extends Punctuality {
  readonly workspace: string;
  readonly kind: ScheduleKindName;
  /** Of its kind; of kinds whose schedules have numbers, the number. */
  readonly name: string;
  /** For its kind to read. */
  readonly action: unknown;
  /** Epoch milliseconds; undefined: never again. */
  readonly nextAt?: number | undefined;
  readonly lastAt?: number | undefined;
  readonly last?: LastTime | undefined;
  readonly cancelled: boolean;
  readonly createdAt: string;
  readonly createdBy: string;
}

export interface Begun {
  readonly number: number;
  readonly text: string;
  /** To be done once that is committed. */
  readonly after: () => void;
}

/** Something that schedules can begin. */
export interface ScheduleKind {
  readonly kind: ScheduleKindName;
  /** That an action makes sense, when the schedule is made. @throws AppError */
  check(workspace: string, action: unknown): void | Promise<void>;
  /** In the transaction that notes it. @throws AppError what cannot be begun now */
  begin(transaction: Database, schedule: Schedule): Promise<Begun>;
  /** Told when a time has passed without it. */
  notBegun?(schedule: Schedule, last: LastTime): void;
}
