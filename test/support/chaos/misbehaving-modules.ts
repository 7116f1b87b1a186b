/**
 * Modules that misbehave, one fault after another on one device: each must be bounded and told with its
 * cause, while another module answers and the agent stays as large as it was.
 */
import { readdirSync, readFileSync } from 'node:fs';
import type { DeviceEvent } from '#shared/protocol/stream.js';
import { RogueDevice } from '#test/support/agent/rogue-device.js';
import { until } from '#test/support/agent/fake-cloud.js';
import { type ChaosBounds, type ChaosOutcome, type ChaosRow, ChaosTally, type ChaosTopic } from './chaos.js';

interface Fault {
  readonly fault: string;
  readonly provoke: (device: RogueDevice) => Promise<unknown>;
  /** What the cloud must be told, within the time that it takes to notice; absent: it is bounded, and no more. */
  readonly told?: { readonly type: string; readonly cause?: string };
  /** What else must be so. */
  readonly check?: (device: RogueDevice, told: DeviceEvent) => Promise<string | undefined> | string | undefined;
}

const number = (event: DeviceEvent, name: string): number => Number(event.details?.[name] ?? Number.NaN);
const crashed = (cause: string) => ({ type: 'module.crashed', cause });

export const faults: readonly Fault[] = [
  {
    fault: 'native crash (SIGSEGV)',
    provoke: (device) => device.attempt('crash'),
    told: crashed('signal'),
    check: (_, { details }) => (details?.['signal'] === 'SIGSEGV' ? undefined : 'the signal is not named'),
  },
  {
    fault: 'exit with a code, a secret in its last line',
    provoke: async (device) => {
      await device.attempt('tellSecret');
      await device.attempt('exit', { count: 3 });
    },
    told: crashed('exit'),
    check: (_, event) => {
      const text = JSON.stringify(event);
      if (text.includes('hunter2')) return 'a password went to the cloud';
      return text.includes('password=[redacted]') && number(event, 'code') === 3 ? undefined : 'no last lines or code';
    },
  },
  {
    fault: 'hang: its loop turns no more',
    provoke: (device) => device.attempt('hang'),
    told: crashed('silent'),
    check: (_, event) => (number(event, 'silentMs') === 3000 ? undefined : 'how long it was silent is not told'),
  },
  {
    fault: 'memory eaten outside of the heap',
    provoke: (device) => device.attempt('eatMemory'),
    told: crashed('memory'),
    check: (_, event) => {
      const [limit, peak] = [number(event, 'memoryLimitBytes'), number(event, 'memoryPeakBytes')];
      return limit === 192 * 2 ** 20 && peak <= limit && peak > limit / 2
        ? undefined
        : `limit ${String(limit)}, peak ${String(peak)}`;
    },
  },
  {
    fault: 'memory eaten in the heap',
    provoke: (device) => device.attempt('eatHeap'),
    told: crashed('memory'),
  },
  {
    fault: 'file descriptors leaked',
    provoke: (device) => device.attempt('leakFiles'),
    told: crashed('files'),
    check: (_, event) => (number(event, 'openFilesLimit') === 256 ? undefined : 'the limit is not told'),
  },
  {
    fault: 'file descriptors run out, and it throws',
    provoke: (device) => device.attempt('fileLimit'),
    told: crashed('files'),
  },
  {
    fault: 'processes without end',
    provoke: async (device) => {
      const { done } = (await device.attempt('forkWithoutEnd')) as { done?: { born: number; refused: string } };
      if (done?.refused !== 'EAGAIN' || done.born > 48) throw new Error(`${JSON.stringify(done)} were born`);
      await device.attempt('exit', { count: 4 });
    },
    told: crashed('exit'),
    check: () => (sleepers() === 0 ? undefined : `${String(sleepers())} of its processes live on`),
  },
  {
    fault: 'all the CPU that it can get',
    provoke: async (device) => {
      const pid = await device.roguePid();
      const [before, from] = [busySeconds(pid), performance.now()];
      await device.attempt('burn', { count: 2000 });
      const share = (busySeconds(pid) - before) / ((performance.now() - from) / 1000);
      // Half a core, and what one period more may bring.
      if (share > 0.6) throw new Error(`it had ${share.toFixed(2)} of a core, of which it may have 0.5`);
    },
  },
  {
    fault: 'answers that never come',
    provoke: async (device) => {
      void Promise.allSettled(Array.from({ length: 40 }, () => device.attempt('neverAnswer')));
      await device.rogueAnswers();
      await device.attempt('exit', { count: 5 });
    },
    told: crashed('exit'),
  },
  {
    fault: 'log flood of 120 MB',
    provoke: async (device) => {
      const before = residentMegabytes(device.agent.pid);
      void device.attempt('flood', { count: 1000 }).catch(() => undefined);
      for (let look = 0; look < 20; look++) {
        if (!(await device.peaceful())) throw new Error('the other module did not answer');
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      const grown = residentMegabytes(device.agent.pid) - before;
      if (grown > 64) throw new Error(`the agent grew by ${String(grown)} MB`);
      process.kill(await device.roguePid(), 'SIGKILL');
    },
    told: { type: 'module.log-flood' },
    check: async (device, event) => {
      if (!(number(event, 'droppedLines') > 1000)) return 'what was dropped is not counted';
      return (await device.log()).includes('lines were dropped here') ? undefined : 'its log does not say so';
    },
  },
];

/** The crash loop comes last: after it the module is left stopped. */
const crashLoop = 'crash loop';

/** @param started a device to use, and leave running; by default one is started, and ended */
/** @param chosen all of them, where it is not said */
export async function runMisbehaving(
  bounds: ChaosBounds,
  started?: RogueDevice,
  chosen: readonly Fault[] = faults,
): Promise<ChaosRow[]> {
  const device = started ?? (await RogueDevice.start());
  try {
    // Each fault is one of its own, and no loop of crashes.
    await device.deploy({ policy: { restart: 'always', maxRestarts: 1000, windowSeconds: 1 } });
    const tallies = new Map(
      [...chosen.map(({ fault }) => fault), crashLoop].map((name) => [name, new ChaosTally(name)]),
    );
    for (let run = 0; run < (bounds.runs ?? 3) && !bounds.signal.aborted; run++) {
      for (const fault of chosen) {
        if (bounds.signal.aborted) break;
        tallies.get(fault.fault)?.count(await outcomeOf(device, () => provoked(device, fault)));
      }
    }
    if (!bounds.signal.aborted) tallies.get(crashLoop)?.count(await outcomeOf(device, () => looped(device)));
    return [...tallies.values()].map((tally) => tally.row()).filter(({ runs }) => runs > 0);
  } finally {
    if (started === undefined) await device.close();
  }
}

export const topic: ChaosTopic = {
  name: 'modules',
  about: 'a module that crashes, hangs, eats memory, files, processes or the log, beside one that must not notice',
  run: (bounds) => runMisbehaving(bounds),
};

/** `lost`: requests to the other module that were not answered. */
async function outcomeOf(device: RogueDevice, act: () => Promise<void>): Promise<ChaosOutcome> {
  let lost = 0;
  let ended = false;
  const bystander = (async (): Promise<void> => {
    while (!ended) {
      if (!(await device.peaceful().catch(() => false))) lost += 1;
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
  })();
  try {
    await act();
    return { lost };
  } catch (error) {
    return { lost, failure: error instanceof Error ? error.message : String(error) };
  } finally {
    ended = true;
    await bystander;
  }
}

async function provoked(device: RogueDevice, { fault, provoke, told, check }: Fault): Promise<void> {
  const before = told === undefined ? 0 : device.events(told.type).length;
  const agent = device.agent.pid;
  await provoke(device).catch((error: unknown) => {
    // Its process ended under the request.
    if (!(error instanceof TypeError)) throw error;
  });
  if (told === undefined) return;
  let event: DeviceEvent | undefined;
  await until(
    `${fault} told`,
    () => {
      event = device.events(told.type)[before];
      return event !== undefined;
    },
    30_000,
  );
  if (event === undefined) throw new Error('nothing was told');
  const cause = event.details?.['cause'];
  if (told.cause !== undefined && cause !== told.cause) {
    throw new Error(`told as ${String(cause)}: ${event.message} ${JSON.stringify(event.details)}`);
  }
  await device.rogueAnswers();
  const problem = await check?.(device, event);
  if (problem !== undefined) throw new Error(problem);
  if (device.agent.pid !== agent || device.events('host.crashed').length > 0) throw new Error('it took others with it');
}

async function looped(device: RogueDevice): Promise<void> {
  await device.deploy({ policy: { restart: 'always', maxRestarts: 2, windowSeconds: 600 }, settings: { loop: true } });
  await until(
    'given up',
    async () => {
      await device.attempt('exit', { count: 9 }).catch(() => undefined);
      return device.events('module.stopped').length > 0;
    },
    60_000,
  );
  const explained = await device.explain();
  if (!/its policy allows 2 restarts/.test(explained)) throw new Error('explain does not say why it is stopped');
  if (!(await device.peaceful())) throw new Error('the other module does not answer');
}

function residentMegabytes(pid: number): number {
  const [, kilobytes] = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${String(pid)}/status`, 'utf8')) ?? [];
  return Number(kilobytes) / 1024;
}

function busySeconds(pid: number): number {
  const fields =
    readFileSync(`/proc/${String(pid)}/stat`, 'utf8')
      .split(') ')
      .at(-1)
      ?.split(' ') ?? [];
  // User and system time, in hundredths.
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** Of those that the rogue starts, on the whole machine. */
function sleepers(): number {
  return readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && commandOf(pid) === 'sleep\x007439\x00').length;
}

function commandOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1');
  } catch {
    return '';
  }
}
