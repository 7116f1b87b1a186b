/**
 * Carries out commands to many devices: looks at what the database says, sends to as many as may be at work, writes down
 * what they answer, and looks again. What is sent is written down before it leaves; after a kill it is sent again under
 * the same id, and the device answers it from its journal. Hence nothing that changes a device is done twice.
 */
import { toInstant, type Clock } from '#shared/kernel/clock.js';
import type { Logger } from '#shared/platform/logger.js';
import { Lookout } from '#shared/platform/lookout.js';
import type { CommandResponse } from '#shared/protocol/commands.js';
import type { CommandChannel } from '#cloud/fleet/command-channel.js';
import type { LiveEvents } from '#cloud/live/live-events.js';
import { type CommandJob, keptAnswerBytes, silentProblem, unsentProblem } from './command-model.js';
import type { CommandRepository, Outcome, SeenDevice } from './command-repository.js';
import { Flights } from './flights.js';

export interface CommandRunnerOptions {
  readonly commands: CommandRepository;
  readonly channel: CommandChannel;
  readonly live: LiveEvents;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Of all jobs together: what a control plane waits for at one time. */
const maxInFlight = 500;
/** Rows that one transaction ends. */
const endedAtOnce = 500;
const longestSleepMs = 30_000;
/** A broker that did not take a command is asked again. */
const againMs = 1_000;
/** Devices report many times a second; looking so often is enough. */
const gatherMs = 100;

interface Heard {
  readonly job: CommandJob;
  readonly device: string;
  readonly response: CommandResponse;
}

export class CommandRunner {
  private readonly lookout: Lookout;
  private readonly flights: Flights;
  private underWay = false;
  private heard: Heard[] = [];
  private unsubscribe: () => void = () => undefined;

  constructor(private readonly options: CommandRunnerOptions) {
    const { channel, clock, logger } = options;
    this.flights = new Flights({
      ...{ channel, logger },
      onAnswer: (job, device, response) => {
        this.heard.push({ job, device, response });
        this.wake();
      },
    });
    this.lookout = new Lookout({
      ...{ look: () => this.look(), clock, leastMs: gatherMs, mostMs: longestSleepMs },
      onError: (error) => logger.error({ err: error }, 'commands to many devices were not looked at'),
    });
  }

  /** Takes up what an earlier process left, and from now on whatever is begun. */
  start(): void {
    this.unsubscribe = this.options.live.subscribeToAll(({ type }) => {
      if (type === 'device.changed' && this.underWay) this.lookout.wakeIn(gatherMs);
    });
    this.wake();
  }

  wake(): void {
    this.lookout.wake();
  }

  async idle(): Promise<void> {
    await this.lookout.idle();
  }

  async stop(): Promise<void> {
    this.unsubscribe();
    await this.lookout.stop();
    this.flights.end();
  }

  private async look(): Promise<number | undefined> {
    const { commands, clock, logger } = this.options;
    await this.keepAnswers();
    const jobs = await commands.listUnderWay();
    this.underWay = jobs.length > 0;
    let dueAt = clock.now() + longestSleepMs;
    for (const job of jobs) {
      if (this.lookout.stopped.aborted) return undefined;
      try {
        dueAt = Math.min(dueAt, await this.advance(job));
      } catch (error) {
        // One must not cost the others: it is looked at again.
        logger.error({ err: error, workspace: job.workspace, command: job.number }, 'a command could not go on');
        dueAt = Math.min(dueAt, clock.now() + againMs);
      }
    }
    return jobs.length > 0 ? dueAt : undefined;
  }

  /** @returns when to look again at the latest */
  private async advance(job: CommandJob): Promise<number> {
    const { commands, clock } = this.options;
    const now = clock.now();
    if (job.state === 'cancelling' || now >= job.deadlineAt) await this.endWaiting(job, now);
    const sent = await this.endOverdue(job, now, await commands.seen(job, 'sent', maxInFlight));
    for (const device of sent) await this.flights.keep(job, device);
    const room = Math.min(job.concurrency - sent.length, maxInFlight - this.flights.count);
    const claimed = job.state === 'running' && now < job.deadlineAt ? await this.claim(job, room, now) : 0;
    const counts = await commands.counts(job);
    if ((counts.waiting ?? 0) + (counts.sent ?? 0) === 0) {
      const to = job.state === 'cancelling' ? 'cancelled' : 'done';
      await commands.move(job, job.state, to, toInstant(clock.now()));
      this.publish({ ...job, state: to });
      return Number.POSITIVE_INFINITY;
    }
    if (claimed > 0) this.publish(job);
    if (this.flights.failing) return now + againMs;
    const timeouts = sent.map(({ timeoutAt }) => timeoutAt ?? now);
    return Math.min(job.deadlineAt, now + job.timeoutMs, ...timeouts);
  }

  /** Who is there gets it now. @returns how many more are at work, or ended at once */
  private async claim(job: CommandJob, room: number, now: number): Promise<number> {
    if (room <= 0) return 0;
    const timeoutAt = Math.min(now + job.timeoutMs, job.deadlineAt);
    const { commands } = this.options;
    const found = await commands.transaction(async (within) => {
      const devices = await within.seen(job, 'waiting', room, 'reachable');
      for (const one of devices) {
        if (one.retired) await within.end(job, one.device, 'waiting', unsent(job, one, now));
        else await within.sent(job, one.device, now, timeoutAt);
      }
      return devices;
    });
    const sending = found.filter(({ retired }) => !retired);
    await Promise.all(sending.map((one) => this.flights.keep(job, { ...one, sentAt: now, timeoutAt })));
    return found.length;
  }

  private async endWaiting(job: CommandJob, now: number): Promise<void> {
    for (;;) {
      const ended = await this.options.commands.transaction(async (within) => {
        const devices = await within.seen(job, 'waiting', endedAtOnce);
        for (const one of devices) await within.end(job, one.device, 'waiting', unsent(job, one, now));
        return devices.length;
      });
      if (ended < endedAtOnce) return;
    }
  }

  /** @returns those that still have time */
  private async endOverdue(job: CommandJob, now: number, sent: readonly SeenDevice[]): Promise<SeenDevice[]> {
    const overdue = sent.filter(({ timeoutAt }) => (timeoutAt ?? 0) <= now);
    if (overdue.length > 0) {
      await this.options.commands.transaction(async (within) => {
        for (const one of overdue) {
          const problem = silentProblem(one, now - (one.sentAt ?? now));
          await within.end(job, one.device, 'sent', { standing: 'unreachable', at: now, problem });
        }
      });
      for (const { device } of overdue) this.flights.forget(job, device);
      this.publish(job);
    }
    return sent.filter((one) => !overdue.includes(one));
  }

  private async keepAnswers(): Promise<void> {
    const heard = this.heard.slice(0, endedAtOnce);
    if (heard.length === 0) return;
    const now = this.options.clock.now();
    await this.options.commands.transaction(async (within) => {
      const kept = new Map<number, number>();
      for (const { job, device, response } of heard) {
        const bytes = kept.get(job.number) ?? (await within.find(job))?.answerBytes ?? 0;
        const outcome = outcomeOf(response, keptAnswerBytes - bytes, now);
        kept.set(job.number, bytes + (outcome.answerJson?.length ?? 0));
        await within.end(job, device, 'sent', outcome);
        if (outcome.answerJson !== undefined) await within.addAnswerBytes(job, outcome.answerJson.length);
      }
    });
    // Only now: what could not be written down is tried again.
    this.heard = this.heard.slice(heard.length);
    for (const { job, device } of heard) this.flights.forget(job, device);
    for (const job of new Set(heard.map((one) => one.job))) this.publish(job);
    if (this.heard.length > 0) this.wake();
  }

  private publish({ workspace, number, state }: CommandJob): void {
    const data = { command: number, state };
    this.options.live.publish({ workspace, type: 'command.changed', subject: String(number), data });
  }
}

function unsent({ state, createdAt, deadlineAt }: CommandJob, one: SeenDevice, now: number): Outcome {
  if (state === 'cancelling') return { standing: 'cancelled', at: now };
  const problem = unsentProblem(one.device, one, deadlineAt - Date.parse(createdAt));
  return { standing: one.retired ? 'failed' : 'unreachable', at: now, problem };
}

/** @param room bytes of answers that the job may still keep */
function outcomeOf({ outcome }: CommandResponse, room: number, at: number): Outcome {
  if (outcome.kind === 'failed') return { standing: 'failed', at, problem: outcome.problem };
  const answerJson = JSON.stringify(outcome.result);
  if (answerJson.length <= room) return { standing: 'done', at, answerJson };
  const message = 'it answered; the answer is not kept, as those before filled the room that one command has for them';
  return { standing: 'done', at, problem: { code: 'message.too-large', message } };
}
