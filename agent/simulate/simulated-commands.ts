/** Direct commands to a simulated device: verified and answered as on a real one, as far as there is something to say. */
import type { Clock } from '#shared/kernel/clock.js';
import { AppError } from '#shared/kernel/errors.js';
import type { CommandResponse } from '#shared/protocol/commands.js';
import { CommandRunner } from '#agent/commands/command-runner.js';
import type { JournalAnswer } from '#agent/commands/command-journal.js';
import type { Identity } from '#agent/identity/identity.js';
import type { TrustedTime } from '#agent/link/trusted-clock.js';
import { agentVersion } from '#agent/version.js';

export interface SimulatedCommandParts {
  readonly clock: Clock;
  readonly identity: Identity;
  readonly directors: () => readonly string[];
  readonly time: TrustedTime;
  readonly isServed: (module: string) => boolean;
  readonly restart: (module: string) => Promise<void>;
  /** Asks for its document anew and reports the whole. @returns the generation it has */
  readonly refresh: () => Promise<number>;
  readonly respond: (response: CommandResponse) => Promise<boolean>;
  readonly explanation: () => unknown;
  readonly onError: (error: unknown) => void;
}

const keptAnswers = 16;

export function createSimulatedCommands(parts: SimulatedCommandParts): CommandRunner {
  const { clock, identity, directors, time, respond, onError } = parts;
  const startedAt = clock.monotonic();
  const known = new Map<string, CommandResponse | undefined>();
  const absent = (what: string): Promise<never> =>
    Promise.reject(new AppError('request.not-implemented', `a simulated device has no ${what}`));
  return new CommandRunner({
    ...{ clock, address: identity, directors, respond, onError },
    journal: {
      look: (id): JournalAnswer => {
        const response = known.get(id);
        if (response !== undefined) return { kind: 'answered', response };
        return { kind: known.has(id) ? 'begun' : 'new' };
      },
      begin: (id) => {
        known.set(id, undefined);
        return Promise.resolve();
      },
      answer: (response) => {
        known.set(response.id, response);
        const [oldest] = known.keys();
        if (known.size > keptAnswers && oldest !== undefined) known.delete(oldest);
        return Promise.resolve();
      },
    },
    executors: {
      ping: async () => ({ agentVersion, uptimeSeconds: Math.round((clock.monotonic() - startedAt) / 1000) }),
      logs: async () => ({ lines: ['a simulated device keeps no log here'] }),
      restart: async ({ module }) => {
        if (!parts.isServed(module)) {
          throw new AppError('module.not-found', `no module "${module}" answers on this device; deploy it first`);
        }
        await parts.restart(module);
        return {};
      },
      refresh: async () => ({ generation: await parts.refresh() }),
      explain: async () => ({ explanation: JSON.parse(JSON.stringify(parts.explanation())) as null }),
      check: async () => ({ findings: [] }),
      score: () => absent('model that could score'),
      bundle: () => absent('support bundle'),
      'bundle-read': () => absent('support bundle'),
    },
    trustedNow: () => time.now(),
    onSignedTime: (at) => time.verified(at),
    onRefused: () => undefined,
  });
}
