/**
 * How long this device has been running, over restarts of the agent and of the machine: the age of what
 * waits on disk is measured by it, so that a clock that is wrong, or set right, lets nothing expire and
 * nothing live for ever. Time in which the machine was off does not count, since nobody can tell it.
 */
import { readFile } from 'node:fs/promises';
import { uptime } from 'node:os';
import type { Clock } from '#shared/kernel/clock.js';
import type { JsonDocument } from '#shared/platform/atomic-file.js';
import type { StateDocuments } from '#agent/store/state-documents.js';

export interface Machine {
  /** Another one after each start of the machine; empty where none can be read. */
  readonly bootId: string;
  readonly uptimeSeconds: number;
}

export interface Lived {
  readonly machine: Machine;
  readonly livedSeconds: number;
}

/** What has passed since the record was made, as far as can be told. Pure. */
export function livedAtStart(kept: Lived | undefined, machine: Machine): number {
  if (kept === undefined) return 0;
  const since = machine.uptimeSeconds - kept.machine.uptimeSeconds;
  const sameBoot = kept.machine.bootId === machine.bootId && since >= 0;
  return kept.livedSeconds + Math.floor(sameBoot ? since : machine.uptimeSeconds);
}

export class LivedTime {
  constructor(
    private readonly document: JsonDocument<Lived>,
    private readonly clock: Pick<Clock, 'monotonic'>,
    private readonly machine: Machine,
    private readonly atStart: number,
    private readonly startedAt = clock.monotonic(),
  ) {}

  seconds = (): number => this.atStart + Math.floor((this.clock.monotonic() - this.startedAt) / 1000);

  /** Called now and then: what is not kept when the machine ends is an age that things seem to have less. */
  async keep(): Promise<void> {
    const passed = Math.floor((this.clock.monotonic() - this.startedAt) / 1000);
    const machine = { ...this.machine, uptimeSeconds: this.machine.uptimeSeconds + passed };
    await this.document.write({ machine, livedSeconds: this.seconds() });
  }
}

export async function openLivedTime(documents: StateDocuments, clock: Clock): Promise<LivedTime> {
  const machine = await readMachine();
  const kept = await documents.readOrLose(documents.lived);
  return new LivedTime(documents.lived, clock, machine, livedAtStart(kept, machine));
}

async function readMachine(): Promise<Machine> {
  const read = (path: string): Promise<string> => readFile(path, 'utf8').catch(() => '');
  const bootId = (await read('/proc/sys/kernel/random/boot_id')).trim();
  const seconds = Number.parseFloat(await read('/proc/uptime'));
  return { bootId, uptimeSeconds: Math.floor(Number.isFinite(seconds) ? seconds : uptime()) };
}
