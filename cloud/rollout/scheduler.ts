/**
 * Starts scheduled rollouts when their time has come. All that it knows is in the database: a tick of node-cron only
 * says when to look, and the start and what is noted of it are one transaction, so that a kill starts none twice.
 */
import { schedule as cronSchedule } from 'node-cron';
import { type Clock, toInstant } from '#shared/kernel/clock.js';
import { AppError, messageOf } from '#shared/kernel/errors.js';
import type { Logger } from '#shared/platform/logger.js';
import { SingleFlight } from '#shared/platform/single-flight.js';
import { nextTime } from '#shared/protocol/maintenance-window.js';
import type { Database } from '#cloud/fleet/device-repository.js';
import type { FleetRepository } from '#cloud/fleet/fleet-repository.js';
import type { ReleaseRepository } from '#cloud/fleet/release-repository.js';
import type { LiveEvents } from '#cloud/live/live-events.js';
import type { RolloutOffice } from './rollout-office.js';
import { type Ran, type RolloutSchedule, ScheduleRepository } from './schedule-repository.js';

export interface SchedulerOptions {
  readonly db: Database;
  readonly office: RolloutOffice;
  readonly releases: Pick<ReleaseRepository, 'require' | 'newest'>;
  readonly fleets: Pick<FleetRepository, 'require'>;
  readonly live: LiveEvents;
  readonly clock: Clock;
  readonly logger: Logger;
}

export class RolloutScheduler {
  private readonly flight: SingleFlight;
  private stopTicking: () => void | Promise<void> = () => undefined;

  constructor(private readonly options: SchedulerOptions) {
    this.flight = new SingleFlight(
      () => this.run(),
      (error) => options.logger.error({ err: error }, 'schedules were not looked at'),
    );
  }

  /** Looks at once, for what came due while nobody looked, and then each minute. */
  start(): void {
    const task = cronSchedule('* * * * *', () => this.flight.wake(), { noOverlap: true, name: 'rollout-schedules' });
    this.stopTicking = () => task.destroy();
    this.flight.wake();
  }

  async stop(): Promise<void> {
    await this.stopTicking();
    await this.flight.stop();
  }

  /** Starts what is due. */
  async run(): Promise<void> {
    const { db, clock, logger } = this.options;
    for (const due of await new ScheduleRepository(db).due(clock.now())) {
      try {
        await this.begin(due);
      } catch (error) {
        logger.error({ err: error, workspace: due.workspace, schedule: due.number }, 'a schedule was not dealt with');
      }
    }
  }

  private async begin(due: RolloutSchedule): Promise<void> {
    const { db, clock } = this.options;
    const now = clock.now();
    const { nextAt = now, lateSeconds } = due;
    const next = followingTime(due, now);
    if (now - nextAt > lateSeconds * 1000) {
      const text = `missed: it was to start at ${toInstant(nextAt)}, and nobody was there until ${toInstant(now)}`;
      await this.note(due, { at: now, text, nextAt: next });
      return;
    }
    try {
      await this.launch(due, now, next);
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      await new ScheduleRepository(db).ran(due, { at: now, text: `not started: ${messageOf(error)}`, nextAt: next });
      this.tell(due, `not started: ${messageOf(error)}`);
    }
  }

  private async launch(due: RolloutSchedule, now: number, next: number | undefined): Promise<void> {
    const { office, releases, fleets } = this.options;
    const { workspace, number, order, createdBy } = due;
    const { policy, supersede, ignoreFreeze } = order;
    const release = order.release.includes(':') ? order.release : await releases.newest(workspace, order.release);
    await releases.require(workspace, release);
    const fleet = await fleets.require(workspace, order.fleet);
    await office.start(workspace, {
      ...{ release, fleet, policy, supersede, ignoreFreeze, by: `${createdBy} by schedule ${String(number)}` },
      within: async (transaction, { number: rollout }) => {
        const ran: Ran = { at: now, rollout, text: `rollout ${String(rollout)} of ${release}`, nextAt: next };
        if (await new ScheduleRepository(transaction).ran(due, ran)) return;
        throw new AppError('rollout.conflict', `schedule ${String(number)} was cancelled at this moment`);
      },
    });
  }

  private async note(due: RolloutSchedule, ran: Ran): Promise<void> {
    await new ScheduleRepository(this.options.db).ran(due, ran);
    this.tell(due, ran.text);
  }

  private tell({ workspace, number }: RolloutSchedule, text: string): void {
    const { live, logger } = this.options;
    logger.warn({ workspace, schedule: number }, text);
    live.publish({ workspace, type: 'rollout.schedule', subject: String(number), data: { schedule: number, text } });
  }
}

/** Times that have passed meanwhile are not made up for. */
export function followingTime({ cron, timeZone = 'UTC' }: RolloutSchedule, now: number): number | undefined {
  return cron === undefined ? undefined : nextTime(cron, timeZone, now);
}
