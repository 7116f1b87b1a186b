/** Commands that devices have at this moment: each has left, once for every time that its device came, and is listened for. */
import { createHash } from 'node:crypto';
import { messageOf } from '#shared/kernel/errors.js';
import type { Logger } from '#shared/platform/logger.js';
import type { CommandResponse } from '#shared/protocol/commands.js';
import type { CommandChannel } from '#cloud/fleet/command-channel.js';
import type { CommandJob, JobAddress } from './command-model.js';
import type { SeenDevice } from './command-repository.js';

export interface FlightsOptions {
  readonly channel: Pick<CommandChannel, 'publish' | 'listen'>;
  readonly logger: Logger;
  readonly onAnswer: (job: CommandJob, device: string, response: CommandResponse) => void;
}

interface Flight {
  readonly unlisten: () => void;
  /** The presence of the device that it left for; undefined: it has yet to leave. */
  leftFor: string | null | undefined;
}

export class Flights {
  private readonly flights = new Map<string, Flight>();

  constructor(private readonly options: FlightsOptions) {}

  get count(): number {
    return this.flights.size;
  }

  /** The broker did not take one. */
  get failing(): boolean {
    return [...this.flights.values()].some(({ leftFor }) => leftFor === undefined);
  }

  /** Sees to it that the command has left and is listened for: what was on its way to a device that was cut off leaves again. */
  async keep(job: CommandJob, { device, presenceAt, timeoutAt }: SeenDevice): Promise<void> {
    const flight = this.flightOf(job, device);
    if (flight.leftFor === presenceAt) return;
    const { operation, arguments: args } = job;
    const command = { operation, arguments: args, deadlineAt: timeoutAt ?? job.deadlineAt };
    try {
      await this.options.channel.publish({ workspace: job.workspace, device }, commandId(job, device), command);
      flight.leftFor = presenceAt;
    } catch (error) {
      this.options.logger.warn({ device, reason: messageOf(error) }, 'a command did not leave; it is sent again soon');
    }
  }

  forget(job: JobAddress, device: string): void {
    const key = keyOf(job, device);
    this.flights.get(key)?.unlisten();
    this.flights.delete(key);
  }

  end(): void {
    for (const { unlisten } of this.flights.values()) unlisten();
    this.flights.clear();
  }

  private flightOf(job: CommandJob, device: string): Flight {
    const key = keyOf(job, device);
    const known = this.flights.get(key);
    if (known !== undefined) return known;
    const unlisten = this.options.channel.listen(
      { workspace: job.workspace, device },
      commandId(job, device),
      (response) => this.options.onAnswer(job, device, response),
    );
    const flight: Flight = { unlisten, leftFor: undefined };
    this.flights.set(key, flight);
    return flight;
  }
}

/** The same whenever it is asked: the device remembers by it what it has done. */
export function commandId({ nonce }: Pick<CommandJob, 'nonce'>, device: string): string {
  return createHash('sha256').update(`${nonce}/${device}`).digest('base64url');
}

function keyOf({ workspace, number }: JobAddress, device: string): string {
  return `${workspace}/${String(number)}/${device}`;
}
