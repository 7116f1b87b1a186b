/**
 * Does what schedules ask for when its time has come. That it was done, and what it began, are one transaction: a kill at
 * any instant begins it once. What cannot be begun is noted, and the schedule goes on to its next time.
 */
import { toInstant, type Clock } from '#shared/kernel/clock.js';
import { AppError } from '#shared/kernel/errors.js';
import type { Logger } from '#shared/platform/logger.js';
import { SingleFlight } from '#shared/platform/single-flight.js';
import type { AuditLog } from '#cloud/audit/audit-log.js';
import type { Database } from '#cloud/fleet/device-repository.js';
import type { ControlTransaction } from '#cloud/store/control-database.js';
import type { LastTime, Schedule, ScheduleRepository } from './schedule-repository.js';
import { judgeDue, nextTime, type ScheduleWhen } from './schedule-time.js';

/** Something that schedules can begin. */
export interface ScheduleKind {
  readonly kind: string;
  /** That an action makes sense, when the schedule is made. @throws AppError `request.invalid` */
  check(workspace: string, action: unknown): void;
  /** @throws AppError what cannot be begun now. @returns what was begun, and what to do once that is committed */
  begin(transaction: Database, schedule: Schedule): Promise<{ readonly text: string; readonly after: () => void }>;
}

export interface SchedulerOptions {
  readonly schedules: ScheduleRepository;
  readonly kinds: readonly ScheduleKind[];
  readonly audit: Pick<AuditLog, 'append'>;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface NewSchedule {
  readonly name: string;
  readonly kind: string;
  readonly when: ScheduleWhen;
  readonly action: unknown;
}

const longestSleepMs = 30_000;
const leastSleepMs = 100;
/** Of one workspace. */
const maxSchedules = 200;

export class Scheduler {
  private readonly flight: SingleFlight;
  private readonly stopped = new AbortController();
  private sleeping = new AbortController();

  constructor(private readonly options: SchedulerOptions) {
    this.flight = new SingleFlight(
      () => this.run(),
      (error) => {
        options.logger.error({ err: error }, 'schedules were not looked at; they are again soon');
        this.sleepUntil(options.clock.now() + longestSleepMs);
      },
    );
  }

  wake(): void {
    this.flight.wake();
  }

  async idle(): Promise<void> {
    await this.flight.idle();
  }

  async stop(): Promise<void> {
    this.stopped.abort();
    this.sleeping.abort();
    await this.flight.stop();
  }

  /** @throws AppError `request.invalid`, `schedule.exists` */
  async add(workspace: string, { name, kind, when, action }: NewSchedule, by: string): Promise<Schedule> {
    const { schedules, clock } = this.options;
    this.kindOf(kind).check(workspace, action);
    const now = clock.now();
    const nextAt = nextTime(when, now);
    if (nextAt === undefined) throw new AppError('request.invalid', 'at: that time has passed');
    const made: Schedule = { workspace, name, kind, when, action, nextAt, createdAt: toInstant(now), createdBy: by };
    await schedules.transaction(async (transaction) => {
      const within = schedules.within(transaction);
      if ((await within.count(workspace)) >= maxSchedules) {
        throw new AppError('request.invalid', `a workspace has ${String(maxSchedules)} schedules at most: delete some`);
      }
      await within.insert(made);
    });
    this.wake();
    return made;
  }

  private async run(): Promise<void> {
    const { schedules, clock, logger } = this.options;
    this.sleeping.abort();
    for (const schedule of await schedules.due(clock.now())) {
      if (this.stopped.signal.aborted) return;
      try {
        await this.take(schedule);
      } catch (error) {
        logger.error(
          { err: error, schedule: schedule.name },
          'a schedule could not be followed; it is looked at again',
        );
      }
    }
    this.sleepUntil((await schedules.nextAt()) ?? Number.POSITIVE_INFINITY);
  }

  private async take(schedule: Schedule): Promise<void> {
    const { schedules, clock, logger } = this.options;
    const now = clock.now();
    const dueAt = schedule.nextAt ?? now;
    const { fires, nextAt } = judgeDue(schedule.when, dueAt, now);
    let last: LastTime = { outcome: 'missed', text: `due at ${toInstant(dueAt)}, when nothing ran here` };
    if (fires) {
      try {
        await this.begin(schedule, nextAt, now);
        return;
      } catch (error) {
        if (!(error instanceof AppError)) throw error;
        last = { outcome: 'failed', text: `${error.code}: ${error.message}` };
      }
    }
    logger.warn({ schedule: schedule.name, workspace: schedule.workspace, ...last }, 'a schedule began nothing');
    await schedules.advance(schedule, nextAt, now, last);
  }

  private async begin(schedule: Schedule, nextAt: number | undefined, now: number): Promise<void> {
    const { schedules, audit } = this.options;
    const { workspace, name, kind } = schedule;
    const after = await schedules
      .transaction(async (transaction) => {
        const begun = await this.kindOf(kind).begin(transaction, schedule);
        const last: LastTime = { outcome: 'begun', text: begun.text };
        // Deleted, or taken by somebody else, since it was read: then nothing of this has happened.
        if (!(await schedules.within(transaction).advance(schedule, nextAt, now, last))) throw new Overtaken();
        const who = { actor: { kind: 'system', id: 'schedule', name }, from: undefined } as const;
        const what = { action: `${kind}.scheduled`, target: begun.text, outcome: 'done' } as const;
        await audit.append({ workspace, ...who, ...what, details: {} }, transaction as ControlTransaction);
        return begun.after;
      })
      .catch((error: unknown) => {
        if (error instanceof Overtaken) return undefined;
        throw error;
      });
    after?.();
  }

  private kindOf(kind: string): ScheduleKind {
    const found = this.options.kinds.find((one) => one.kind === kind);
    if (found === undefined) throw new AppError('request.invalid', `nothing of the kind ${kind} can be scheduled`);
    return found;
  }

  private sleepUntil(dueAt: number): void {
    const { clock } = this.options;
    if (this.stopped.signal.aborted) return;
    this.sleeping = new AbortController();
    const { signal } = this.sleeping;
    const ms = Math.min(longestSleepMs, Math.max(leastSleepMs, dueAt - clock.now()));
    void clock.sleep(ms, signal).then(() => {
      if (!signal.aborted && !this.stopped.signal.aborted) this.wake();
    });
  }
}

/** Ends a transaction that must not be. */
class Overtaken extends Error {}
