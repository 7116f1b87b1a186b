/**
 * Begins what schedules ask for when its time has come. All that it knows is in the database: a tick of node-cron only
 * says when to look. What was begun, and that it was, are one transaction: a kill at any instant begins it once. What
 * cannot be begun is noted, and the schedule goes on to its next time.
 */
import { schedule as cronSchedule } from 'node-cron';
import { toInstant, type Clock } from '#shared/kernel/clock.js';
import { AppError } from '#shared/kernel/errors.js';
import type { Logger } from '#shared/platform/logger.js';
import { Lookout } from '#shared/platform/lookout.js';
import type { AuditLog } from '#cloud/audit/audit-log.js';
import type { ControlTransaction } from '#cloud/store/control-database.js';
import type { LastTime, Schedule, ScheduleKind, ScheduleKindName } from './schedule.js';
import type { ScheduleRepository } from './schedule-repository.js';
import { judgeDue, nextTime, type Punctuality } from './schedule-time.js';

export interface SchedulerOptions {
  readonly schedules: ScheduleRepository;
  readonly kinds: readonly ScheduleKind[];
  readonly audit: Pick<AuditLog, 'append'>;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface NewSchedule extends Punctuality {
  readonly kind: ScheduleKindName;
  /** Absent: it is given a number. */
  readonly name?: string;
  readonly action: unknown;
}

/** Between ticks. */
const tickMs = 60_000;
/** Before what is due and could not be dealt with is looked at again. */
const againMs = 1_000;
/** Of one workspace and kind, to come. */
const maxSchedules = 200;

export class Scheduler {
  private readonly lookout: Lookout;
  private stopTicking: () => void | Promise<void> = () => undefined;

  constructor(private readonly options: SchedulerOptions) {
    this.lookout = new Lookout({
      ...{ look: () => this.look(), clock: options.clock, leastMs: 0, mostMs: tickMs },
      onError: (error) => options.logger.error({ err: error }, 'schedules were not looked at; they are again soon'),
    });
  }

  /** Looks at once, for what came due while nobody looked, and then each minute. */
  start(): void {
    const task = cronSchedule('* * * * *', () => this.wake(), { noOverlap: true, name: 'schedules' });
    this.stopTicking = () => task.destroy();
    this.wake();
  }

  wake(): void {
    this.lookout.wake();
  }

  async idle(): Promise<void> {
    await this.lookout.idle();
  }

  async stop(): Promise<void> {
    await this.stopTicking();
    await this.lookout.stop();
  }

  /** @throws AppError `request.invalid`, `schedule.exists`, and what its kind finds wrong */
  async add(workspace: string, order: NewSchedule, by: string): Promise<Schedule> {
    const { schedules, clock } = this.options;
    const { kind, when, lateSeconds, action } = order;
    await this.kindOf(kind).check(workspace, action);
    const now = clock.now();
    const nextAt = nextTime(when, now);
    if (nextAt === undefined) {
      throw new AppError('request.invalid', 'at: that time has passed: give a later one, or begin it now');
    }
    const made = await schedules.transaction(async (transaction) => {
      const within = schedules.within(transaction);
      if ((await within.count(workspace, kind)) >= maxSchedules) {
        const most = String(maxSchedules);
        throw new AppError(
          'request.invalid',
          `${most} schedules of a ${kind} wait in ${workspace} already: delete some`,
        );
      }
      const name = order.name ?? String(await within.nextNumber(workspace, kind));
      const schedule: Schedule = {
        ...{ workspace, kind, name, when, lateSeconds, action, nextAt, cancelled: false },
        ...{ createdAt: toInstant(now), createdBy: by },
      };
      await within.insert(schedule);
      return schedule;
    });
    this.wake();
    return made;
  }

  private async look(): Promise<number | undefined> {
    const { schedules, clock, logger } = this.options;
    for (const schedule of await schedules.due(clock.now())) {
      if (this.lookout.stopped.aborted) return undefined;
      try {
        await this.take(schedule);
      } catch (error) {
        const { workspace, kind, name } = schedule;
        const text = 'a schedule could not be followed; it is looked at again';
        logger.error({ err: error, workspace, kind, schedule: name }, text);
      }
    }
    return wakeAt(await schedules.nextAt(), clock.now());
  }

  private async take(schedule: Schedule): Promise<void> {
    const { schedules, clock, logger } = this.options;
    const now = clock.now();
    const dueAt = schedule.nextAt ?? now;
    const { begins, nextAt } = judgeDue(schedule, dueAt, now);
    const missed = `it was to start at ${toInstant(dueAt)}, and nobody was there until ${toInstant(now)}`;
    let last: LastTime = { outcome: 'missed', text: missed };
    if (begins) {
      try {
        await this.begin(schedule, nextAt, now);
        return;
      } catch (error) {
        if (!(error instanceof AppError)) throw error;
        last = { outcome: 'failed', text: error.message };
      }
    }
    const { workspace, kind, name } = schedule;
    logger.warn({ workspace, kind, schedule: name, ...last }, 'a schedule began nothing');
    if (await schedules.advance(schedule, nextAt, now, last)) this.kindOf(kind).notBegun?.(schedule, last);
  }

  private async begin(schedule: Schedule, nextAt: number | undefined, now: number): Promise<void> {
    const { schedules, audit } = this.options;
    const { workspace, name, kind } = schedule;
    const after = await schedules
      .transaction(async (transaction) => {
        const begun = await this.kindOf(kind).begin(transaction, schedule);
        const last: LastTime = { outcome: 'begun', text: begun.text, number: begun.number };
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
}

/** For what comes before the next tick: ticks may run ahead of the clock by a moment, and times may have seconds. */
function wakeAt(nextAt: number | undefined, now: number): number | undefined {
  if (nextAt === undefined || nextAt - now > tickMs) return undefined;
  return nextAt > now ? nextAt : now + againMs;
}

/** Ends a transaction that must not be. */
class Overtaken extends Error {}
