/** The control plane as a foreground process: started, announced, and stopped when asked. */
import { writeFileAtomic } from '#shared/platform/atomic-file.js';
import { createLogger } from '#shared/platform/logger.js';
import { readCloudArguments } from '#cloud/config.js';
import { startCloud } from '#cloud/main.js';
import type { CloudReady } from './cli-io.js';

export interface CloudProcessOptions {
  readonly version: string;
  readonly signal: AbortSignal;
  /** Human-readable log lines. */
  readonly pretty: boolean;
  readonly onReady: (ready: CloudReady) => void;
}

export async function runCloud(args: readonly string[], options: CloudProcessOptions): Promise<void> {
  const { config } = await readCloudArguments(args);
  // The data folder may have been made by someone else, for all to read: the databases in it are not.
  process.umask(0o077);
  const logger = createLogger('flotilla', { level: config.logLevel, pretty: options.pretty });
  const cloud = await startCloud(config, logger, options.version);
  const { authority } = cloud;
  try {
    const owner = await handOver(cloud.ownerToken, config.ownerTokenFile);
    if (!options.signal.aborted) {
      options.onReady({ version: options.version, addresses: { ...cloud.addresses }, authority, ...owner });
      await new Promise<void>((resolve) => options.signal.addEventListener('abort', () => resolve(), { once: true }));
    }
  } finally {
    await cloud.stop();
  }
}

/** What a service prints ends up in a log, where a token has no place: a file for its user alone takes it. */
async function handOver(
  ownerToken: string | undefined,
  file: string | undefined,
): Promise<Pick<CloudReady, 'ownerToken' | 'ownerTokenFile'>> {
  if (ownerToken === undefined || file === undefined) return { ownerToken };
  await writeFileAtomic(file, `${ownerToken}\n`, { mode: 0o600 });
  return { ownerToken: undefined, ownerTokenFile: file };
}
