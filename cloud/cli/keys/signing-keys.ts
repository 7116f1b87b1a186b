/** The keys that a command signs with: the current one and, while it takes another's place, that one too. */
import { Option, type Command } from 'commander';
import { AppError } from '#shared/kernel/errors.js';
import { generateSigningKey, type SigningKey } from '#shared/package/signing-key.js';
import type { CliIo } from '../cli-io.js';
import { firstKeyName, KeyFolder, type StoredKey } from './key-folder.js';
import { Passphrases } from './passphrase.js';

export interface KeyFlags {
  readonly key?: string;
  readonly passphraseFile?: string;
}

/** For commands that sign. */
export function withKeyOptions(command: Command): Command {
  return command
    .option('--key <name>', 'sign with this key alone, not with the current one')
    .addOption(passphraseFileOption());
}

export function passphraseFileOption(): Option {
  return new Option('--passphrase-file <file>', "the key's passphrase is the first line of this file");
}

/** The keys that sign, still locked; the first one is made where there is none. */
export async function signingKeys(io: CliIo, note: (text: string) => void, only?: string): Promise<StoredKey[]> {
  const folder = new KeyFolder(io.config.home);
  if (only !== undefined) return [await folder.require(only)];
  const { current, previous } = await folder.signing();
  if (current === firstKeyName && (await folder.find(current)) === undefined) await makeFirst(folder, note);
  const names = previous === undefined ? [current] : [current, previous];
  return Promise.all(names.map((name) => folder.require(name)));
}

/** The same, unlocked. */
export async function unlockSigningKeys(
  io: CliIo,
  flags: KeyFlags,
  note: (text: string) => void,
): Promise<[SigningKey, ...SigningKey[]]> {
  const folder = new KeyFolder(io.config.home);
  const passphrases = new Passphrases(io, flags.passphraseFile);
  const unlocked: SigningKey[] = [];
  for (const key of await signingKeys(io, note, flags.key)) {
    unlocked.push(await folder.unlock(key, () => passphrases.of(key.name)));
  }
  const [first, ...rest] = unlocked;
  if (first === undefined) throw new AppError('key.not-found', 'no key signs: flotilla keys init makes one');
  return [first, ...rest];
}

/** Without a passphrase, as nobody was asked for one: whoever needs a key for the first time is not to be stopped. */
async function makeFirst(folder: KeyFolder, note: (text: string) => void): Promise<void> {
  if (!(await folder.writeNew(firstKeyName, generateSigningKey(), undefined))) return;
  note(
    `made this machine's publisher key: ${folder.pathOf(firstKeyName, 'pem')}; keep a copy, devices trust images by it. ` +
      'It has no passphrase: flotilla keys encrypt gives it one',
  );
}
