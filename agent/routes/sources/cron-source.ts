/** A timer: at each time of its expression, the time as JSON. */
import { schedule } from 'node-cron';
import { type Clock, toInstant } from '#shared/kernel/clock.js';
import { bytesItem } from '../payload.js';
import type { Source, SourcePorts } from './source.js';

export interface CronPlan {
  readonly cron: string;
  readonly timeZone?: string | undefined;
}

export function openCronSource({ cron, timeZone }: CronPlan, clock: Clock, ports: SourcePorts): Source {
  const task = schedule(
    cron,
    () => {
      ports.onEntered();
      ports.queue.press(bytesItem(Buffer.from(JSON.stringify({ at: toInstant(clock.now()) })), undefined));
    },
    timeZone === undefined ? {} : { timezone: timeZone },
  );
  return { stop: () => task.destroy() };
}
