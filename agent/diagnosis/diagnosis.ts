/** The running agent's own look at its device, for who asks from the control plane. */
import { readFile } from 'node:fs/promises';
import { type Clock, toInstant } from '#shared/kernel/clock.js';
import { AppError } from '#shared/kernel/errors.js';
import { digestOf } from '#shared/package/digest.js';
import { writeFileAtomic } from '#shared/platform/atomic-file.js';
import { bundlePieceBytes, type OperationResult } from '#shared/protocol/commands.js';
import { type AgentConfig, fileFormOf } from '#agent/config.js';
import { agentVersion } from '#agent/version.js';
import type { StateFolder } from '#agent/store/state-folder.js';
import { makeBundle } from './bundle.js';
import type { NamedFinding } from './finding.js';
import { checkDevice, lookAt } from './look.js';

export interface DiagnosisPorts {
  readonly config: AgentConfig;
  readonly folder: StateFolder;
  readonly clock: Clock;
  readonly explain: () => unknown;
}

type Json = OperationResult<'explain'>['explanation'];

export class Diagnosis {
  constructor(private readonly ports: DiagnosisPorts) {}

  explain(): Json {
    return JSON.parse(JSON.stringify(this.ports.explain())) as Json;
  }

  async check(): Promise<NamedFinding[]> {
    const { config, clock } = this.ports;
    return checkDevice(await lookAt(config, clock));
  }

  /** Takes the place of the one before. @throws AppError `disk.*` */
  async makeBundle(): Promise<OperationResult<'bundle'>> {
    const { folder, config, clock } = this.ports;
    const bytes = await makeBundle(folder, {
      at: toInstant(clock.now()),
      agentVersion,
      config: fileFormOf(config),
      explanation: this.explain(),
      findings: await this.check(),
    });
    await writeFileAtomic(folder.bundle, bytes, { mode: 0o600 });
    return { digest: digestOf(bytes), size: bytes.length };
  }

  /** @returns base64 */
  async readBundle(digest: string, offset: number): Promise<string> {
    const bytes = await readFile(this.ports.folder.bundle).catch(() => undefined);
    if (bytes === undefined || digestOf(bytes) !== digest) {
      throw new AppError(
        'request.not-found',
        'the bundle is not there any more: another was made since; ask for one anew',
      );
    }
    return bytes.subarray(offset, offset + bundlePieceBytes).toString('base64');
  }
}
