/** Direct commands of one device: what each does, and who is told when one is refused. */
import type { Clock } from '#shared/kernel/clock.js';
import type { Logger } from '#shared/platform/logger.js';
import type { Channel } from '#shared/protocol/topics.js';
import type { CommandJournal } from '#agent/commands/command-journal.js';
import { CommandRunner } from '#agent/commands/command-runner.js';
import { createOperations } from '#agent/commands/operation-executors.js';
import type { AgentConfig } from '#agent/config.js';
import { Diagnosis } from '#agent/diagnosis/diagnosis.js';
import type { TrustSource } from '#agent/identity/device-trust.js';
import type { Identity } from '#agent/identity/identity.js';
import type { TrustedTime } from '#agent/link/trusted-clock.js';
import type { DeviceViews } from '#agent/local/device-views.js';
import type { LogRings } from '#agent/local/log-rings.js';
import type { StateFolder } from '#agent/store/state-folder.js';
import type { Telemetry } from '#agent/telemetry/telemetry.js';

export interface DeviceCommandParts {
  readonly config: AgentConfig;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly logs: LogRings;
  readonly identity: Identity;
  readonly trust: TrustSource;
  readonly folder: StateFolder;
  readonly bootId: number;
  readonly scoringPort: number;
  readonly controlToken: string | undefined;
  readonly journal: CommandJournal;
  readonly time: TrustedTime;
  readonly views: DeviceViews;
  readonly isServed: (module: string) => boolean;
  readonly restart: (module: string) => Promise<void>;
  readonly refresh: () => Promise<number>;
  readonly raise: Telemetry['raise'];
  readonly publish: (channel: Channel, message: unknown, id?: string) => Promise<boolean>;
  readonly onError: (error: unknown) => void;
}

export function createDeviceCommands(parts: DeviceCommandParts): CommandRunner {
  const { config, clock, logger, logs, folder, bootId, time, trust, views, raise, publish } = parts;
  return new CommandRunner({
    clock,
    address: parts.identity,
    directors: () => trust.current().directors,
    journal: parts.journal,
    executors: createOperations({
      uptimeSeconds: () => Math.round(process.uptime()),
      scoring: { address: config.scoring.address, port: parts.scoringPort, token: parts.controlToken },
      isServed: parts.isServed,
      bootId,
      logs,
      diagnosis: new Diagnosis({ config, folder, clock, explain: () => views.explain() }),
      restart: parts.restart,
      refresh: parts.refresh,
    }),
    respond: (response) => publish('commandResponse', response, response.id),
    trustedNow: () => time.now(),
    onSignedTime: (at) => time.verified(at),
    onRefused: (id, problem) => {
      views.refusedCommand(id, problem);
      logger.warn({ id, problem }, 'command refused');
      raise({ level: 'warn', type: 'command.refused', message: problem.message, details: { code: problem.code, id } });
    },
    onError: parts.onError,
  });
}
