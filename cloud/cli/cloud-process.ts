/** The control plane as a foreground process: started, announced, and stopped when asked. */
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
  const { ownerToken, authority } = cloud;
  try {
    if (!options.signal.aborted) {
      options.onReady({ version: options.version, addresses: { ...cloud.addresses }, authority, ownerToken });
      await new Promise<void>((resolve) => options.signal.addEventListener('abort', () => resolve(), { once: true }));
    }
  } finally {
    await cloud.stop();
  }
}
