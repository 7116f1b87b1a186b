/**
 * Runs activities. The rows are the truth: at a restart those that were under way start over where their kind
 * allows it, and fail with the reason where it does not. A cancellation is seen between steps.
 */
import type { Kysely } from 'kysely';
import { AppError, toProblem, type Problem } from '#shared/kernel/errors.js';
import { toInstant, type Clock } from '#shared/kernel/clock.js';
import type { NewId } from '#shared/kernel/ids.js';
import type { Logger } from '#shared/platform/logger.js';
import type { LiveEvents } from '#cloud/live/live-events.js';
import type { ActivityRepository, Ending, StoredActivity } from '#cloud/store/activity-repository.js';
import type { ControlDatabase } from '#cloud/store/tables.js';
import { toActivityBody } from './activity-body.js';

export interface ActivityContext {
  readonly id: string;
  readonly workspace: string;
  /** Aborted when the activity is cancelled or the control plane stops; checked between steps. */
  readonly signal: AbortSignal;
  log(line: string): Promise<void>;
}

export interface ActivityKind {
  readonly kind: string;
  /** Run again after a crash, does it come to the same result? Then it is, else it fails. */
  readonly idempotent: boolean;
  /** It only waits for what others do: it takes no place from those that work. */
  readonly waits?: boolean;
  /** `input` is what `start` was given, back from the database. @returns URL path of what it made */
  run(input: unknown, context: ActivityContext): Promise<string | undefined>;
}

export interface ActivityRunnerOptions {
  readonly repository: ActivityRepository;
  readonly kinds: readonly ActivityKind[];
  readonly live: LiveEvents;
  readonly clock: Clock;
  readonly newId: NewId;
  readonly logger: Logger;
  /** How many run at one time, beside those that only wait. */
  readonly concurrency: number;
}

interface UnderWay {
  readonly controller: AbortController;
  readonly done: Promise<void>;
  readonly waits: boolean;
}

export class ActivityRunner {
  private readonly underWay = new Map<string, UnderWay>();
  private starting: Promise<void> | undefined;
  private again = false;
  private stopping = false;

  constructor(private readonly options: ActivityRunnerOptions) {}

  /** Takes up what an earlier process left. Call once, before the first {@link start}. */
  async resume(): Promise<void> {
    const { repository } = this.options;
    for (const activity of await repository.listRunning()) {
      // Done before the crash: what it made and this column were written in one transaction.
      if (activity.resource !== null) {
        await this.finish(activity.id, { state: 'succeeded', resource: activity.resource });
      } else if (activity.cancelRequested === 1) {
        await this.finish(activity.id, { state: 'cancelled', problem: cancelled(activity) });
      } else if (this.kindOf(activity)?.idempotent === true) {
        await repository.log(activity.id, this.now(), 'the control plane was restarted; starting over');
        await repository.backToStart(activity.id);
      } else {
        await this.finish(activity.id, {
          state: 'failed',
          problem: {
            code: 'activity.failed',
            message: `the control plane stopped while ${activity.kind} of ${activity.subject} ran: start it again`,
          },
        });
      }
    }
    this.wake();
  }

  async start(workspace: string, kind: string, subject: string, input: unknown): Promise<StoredActivity> {
    const activity = await this.insert(this.options.repository, workspace, kind, subject, input);
    this.announce(activity);
    return activity;
  }

  /** {@link start} as a part of somebody else's transaction, who calls {@link announce} after it. */
  insertWithin(
    transaction: Kysely<ControlDatabase>,
    workspace: string,
    kind: string,
    subject: string,
    input: unknown,
  ): Promise<StoredActivity> {
    return this.insert(this.options.repository.within(transaction), workspace, kind, subject, input);
  }

  announce(activity: StoredActivity): void {
    this.publish(activity);
    this.wake();
  }

  /** Undefined when there is none. One that has ended stays as it ended. */
  async cancel(workspace: string, id: string): Promise<StoredActivity | undefined> {
    const { repository } = this.options;
    const activity = await repository.find(workspace, id);
    if (activity === undefined) return undefined;
    const ended = await repository.end(
      id,
      ['not-started'],
      { state: 'cancelled', problem: cancelled(activity) },
      this.now(),
    );
    if (ended) this.publish(ended);
    else if (activity.endedAt === null) {
      await repository.requestCancel(workspace, id);
      this.underWay.get(id)?.controller.abort(new AppError('activity.cancelled', cancelled(activity).message));
    }
    return repository.find(workspace, id);
  }

  /** Interrupts what runs; it is taken up again by {@link resume}. */
  async stop(): Promise<void> {
    this.stopping = true;
    await this.starting;
    for (const { controller } of this.underWay.values()) controller.abort(new AppError('request.aborted', 'stopping'));
    await Promise.all([...this.underWay.values()].map(({ done }) => done));
  }

  /** Resolves when nothing runs and nothing waits. */
  async idle(): Promise<void> {
    while (this.starting !== undefined || this.underWay.size > 0) {
      await this.starting;
      await Promise.all([...this.underWay.values()].map(({ done }) => done));
    }
  }

  private insert(
    repository: ActivityRepository,
    workspace: string,
    kind: string,
    subject: string,
    input: unknown,
  ): Promise<StoredActivity> {
    return repository.insert({ id: this.options.newId(), workspace, kind, subject, input, createdAt: this.now() });
  }

  private wake(): void {
    if (this.stopping) return;
    if (this.starting !== undefined) {
      this.again = true;
      return;
    }
    this.starting = this.startWaiting()
      .catch((error: unknown) => {
        this.options.logger.error({ err: error }, 'cannot start activities');
      })
      .finally(() => {
        this.starting = undefined;
        if (!this.again) return;
        this.again = false;
        this.wake();
      });
  }

  private async startWaiting(): Promise<void> {
    while (!this.stopping) {
      const isFull = this.working() >= this.options.concurrency;
      const activity = await this.options.repository.startNext(this.now(), isFull ? this.waitingKinds() : undefined);
      if (activity === undefined) return;
      const controller = new AbortController();
      const done = this.runOne(activity, controller.signal)
        .catch((error: unknown) => {
          this.options.logger.error({ err: error, activity: activity.id }, 'cannot record how an activity ended');
        })
        .finally(() => {
          this.underWay.delete(activity.id);
          this.wake();
        });
      this.underWay.set(activity.id, { controller, done, waits: this.kindOf(activity)?.waits === true });
      this.publish(activity);
    }
  }

  private working(): number {
    return [...this.underWay.values()].filter(({ waits }) => !waits).length;
  }

  private waitingKinds(): string[] {
    return this.options.kinds.filter(({ waits }) => waits === true).map(({ kind }) => kind);
  }

  private async runOne(activity: StoredActivity, signal: AbortSignal): Promise<void> {
    const { repository } = this.options;
    try {
      const kind = this.kindOf(activity);
      if (kind === undefined) throw new AppError('activity.failed', `this version has no activity ${activity.kind}`);
      // Asked for between the row's start and now, when there was nothing yet to abort.
      if ((await repository.find(activity.workspace, activity.id))?.cancelRequested === 1) {
        throw new AppError('activity.cancelled', cancelled(activity).message);
      }
      const resource = await kind.run(JSON.parse(activity.inputJson) as unknown, {
        id: activity.id,
        workspace: activity.workspace,
        signal,
        log: async (line) => {
          await repository.log(activity.id, this.now(), line);
          this.publish(activity, line);
        },
      });
      await this.finish(activity.id, { state: 'succeeded', resource: resource ?? null });
    } catch (error) {
      await this.fail(activity, error, signal);
    }
  }

  private async fail(activity: StoredActivity, error: unknown, signal: AbortSignal): Promise<void> {
    const { repository, logger } = this.options;
    // What it was to make was made after all: its transaction went through before it was interrupted.
    const resource = await repository.resourceOf(activity.id);
    if (resource !== null) {
      await this.finish(activity.id, { state: 'succeeded', resource });
      return;
    }
    if (signal.aborted && this.stopping) return;
    if (signal.aborted || (error instanceof AppError && error.code === 'activity.cancelled')) {
      await this.finish(activity.id, { state: 'cancelled', problem: cancelled(activity) });
      return;
    }
    if (!(error instanceof AppError)) logger.error({ err: error, activity: activity.id }, 'activity failed');
    const problem = toProblem(error);
    await repository.log(activity.id, this.now(), `failed: ${problem.message}`);
    await this.finish(activity.id, { state: 'failed', problem });
  }

  private async finish(id: string, ending: Ending): Promise<void> {
    const ended = await this.options.repository.end(id, ['running'], ending, this.now());
    if (ended) this.publish(ended);
  }

  private publish(activity: StoredActivity, line?: string): void {
    this.options.live.publish({
      workspace: activity.workspace,
      type: 'activity.changed',
      subject: activity.id,
      data: line === undefined ? toActivityBody(activity) : { ...toActivityBody(activity), line },
    });
  }

  private kindOf(activity: StoredActivity): ActivityKind | undefined {
    return this.options.kinds.find(({ kind }) => kind === activity.kind);
  }

  private now(): string {
    return toInstant(this.options.clock.now());
  }
}

function cancelled(activity: StoredActivity): Problem {
  return { code: 'activity.cancelled', message: `${activity.kind} of ${activity.subject} was cancelled` };
}
