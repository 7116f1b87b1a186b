/** Who this installation is, from the files that the configuration names. */
import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { AppError, messageOf } from '#shared/kernel/errors.js';
import type { CloudConfig } from '#cloud/config.js';
import { startRecurring } from '#cloud/lifecycle/recurring.js';
import { ensureInstallationIdentity, type InstallationIdentity } from '#cloud/trust/installation-identity.js';
import { LivingIdentity } from '#cloud/trust/living-identity.js';
import type { Ground } from './ground.js';

const dayMs = 86_400_000;

export function keysFolder({ dataDir }: CloudConfig): string {
  return join(dataDir, 'keys');
}

/** Kept up to date while the control plane runs: certificates end, and authorities are replaced. */
export async function openIdentity(ground: Ground): Promise<LivingIdentity> {
  const { clock, logger, shutdown } = ground;
  const identity = await LivingIdentity.open(() => ensureIdentity(ground));
  const renewal = { name: 'renewal of the server’s certificate', everyMs: dayMs, run: () => identity.refresh() };
  shutdown.add(renewal.name, startRecurring(renewal, clock, logger));
  return identity;
}

async function ensureIdentity({ config, clock }: Pick<Ground, 'config' | 'clock'>): Promise<InstallationIdentity> {
  const { keys } = config;
  const folder = keysFolder(config);
  const advertised = [config.gateway.advertiseUrl, config.broker.advertiseUrl, config.services.advertiseUrl]
    .filter((url) => url !== undefined)
    .map((url) => new URL(url).hostname.replace(/^\[|\]$/g, ''));
  return ensureInstallationIdentity({
    folder,
    names: [...advertised, ...config.serverNames],
    hostname: hostname(),
    nowMs: clock.now(),
    atRest: { keyFile: keys.atRestFile ?? join(folder, 'at-rest.key'), passphrase: await readPassphrase(keys) },
    ownAuthority: await readOwnAuthority(keys),
  });
}

type KeySettings = Ground['config']['keys'];

async function readPassphrase({ passphraseFile }: KeySettings): Promise<string | undefined> {
  if (passphraseFile === undefined) return undefined;
  const [passphrase = ''] = (await readSetting(passphraseFile, 'keys.passphraseFile')).split(/\r?\n/, 1);
  if (passphrase.length >= 12) return passphrase;
  throw new AppError('config.invalid', 'the first line of keys.passphraseFile has fewer than 12 characters: use more');
}

async function readOwnAuthority({ authorityCertFile, authorityKeyFile }: KeySettings) {
  if (authorityCertFile === undefined || authorityKeyFile === undefined) return undefined;
  return {
    certificates: await readSetting(authorityCertFile, 'keys.authorityCertFile'),
    privateKey: await readSetting(authorityKeyFile, 'keys.authorityKeyFile'),
  };
}

async function readSetting(path: string, setting: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw new AppError('config.invalid', `cannot read ${setting} ${path}: ${messageOf(error)}`, { cause: error });
  }
}
