/** `flotilla keys init | use | encrypt | rotate`: how keys come to be, and which of them signs. */
import { stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { Command } from 'commander';
import { AppError } from '#shared/kernel/errors.js';
import { exportPrivateKeyPem, generateSigningKey } from '#shared/package/signing-key.js';
import { writeFileAtomic } from '#shared/platform/atomic-file.js';
import { makePrivateFolder } from '#shared/platform/private-file.js';
import { parseName } from '../argument-parsers.js';
import type { CliIo } from '../cli-io.js';
import { withExamples } from '../help.js';
import { firstKeyName, importPem, KeyFolder, readPrivate, type StoredKey } from '../keys/key-folder.js';
import { Passphrases } from '../keys/passphrase.js';
import { passphraseFileOption } from '../keys/signing-keys.js';
import { outputOf } from '../session.js';

interface MakeOptions {
  readonly name?: string;
  readonly plain?: boolean;
  readonly keyFile?: string;
  readonly passphraseFile?: string;
}

/** Options of whoever makes a key. */
function withMakeOptions(command: Command): Command {
  return command
    .option('--name <name>', 'what to call it')
    .option('--plain', 'without a passphrase: whoever reads the file can sign')
    .option('--key-file <file>', 'keep it in this file, without a passphrase, as for a build agent that mounts it')
    .addOption(passphraseFileOption());
}

export function initCommand(io: CliIo): Command {
  const command = withMakeOptions(
    new Command('init').description('Make a publisher key, under a passphrase; one that exists stays as it is.'),
  )
    .option('--encrypt', 'give a key that has no passphrase one, as "keys encrypt" does')
    .action(async (options: MakeOptions & { readonly encrypt?: boolean }) => {
      const folder = new KeyFolder(io.config.home);
      const name = parseName(options.name ?? firstKeyName, 'key');
      const existing = await folder.find(name);
      if (existing !== undefined && options.encrypt === true) {
        await encrypt(io, command, folder, existing, options.passphraseFile);
        return;
      }
      const made = existing === undefined && (await makeKey(io, folder, name, options));
      const key = await folder.require(name);
      outputOf(io, command).result({ ...key, made }, () =>
        made
          ? `made ${key.path}; keep a copy, devices trust images by it`
          : `${key.path} exists already and stays as it is`,
      );
    });
  return withExamples(
    command,
    'flotilla keys init',
    'flotilla keys init --passphrase-file ~/.publisher-passphrase',
    'flotilla keys init --name ci --key-file /run/secrets/publisher.pem',
  );
}

async function makeKey(io: CliIo, folder: KeyFolder, name: string, options: MakeOptions): Promise<boolean> {
  if (options.keyFile !== undefined) {
    await folder.hold(name, options.keyFile, await ensureKeyFile(resolve(options.keyFile)));
    return true;
  }
  const passphrases = new Passphrases(io, options.passphraseFile);
  if (options.plain !== true && !passphrases.available) {
    throw new AppError(
      'key.locked',
      'a new key needs a passphrase: give it with --passphrase-file or FLOTILLA_KEYS_PASSPHRASE_FILE, or say --plain',
    );
  }
  const passphrase = options.plain === true ? undefined : await passphrases.fresh(name);
  return folder.writeNew(name, generateSigningKey(), passphrase);
}

/** A key that lies there already is taken as it is. @returns its public half */
async function ensureKeyFile(path: string): Promise<string> {
  const pem = await readPrivate(path);
  if (pem !== undefined) return importPem(pem, path).publicKey;
  const key = generateSigningKey();
  await stat(dirname(path)).catch(() => makePrivateFolder(dirname(path)));
  await writeFileAtomic(path, exportPrivateKeyPem(key), { mode: 0o600 });
  return key.publicKey;
}

export function useCommand(io: CliIo): Command {
  const command = new Command('use')
    .description('Sign with this key from now on.')
    .argument('<name>', 'the key')
    .action(async (name: string) => {
      const folder = new KeyFolder(io.config.home);
      const key = await folder.require(name);
      await folder.setSigning({ current: key.name });
      outputOf(io, command).result(
        key,
        () => `${name} signs from now on; devices must trust it: flotilla trust status`,
      );
    });
  return withExamples(command, 'flotilla keys use ci');
}

export function encryptCommand(io: CliIo): Command {
  const command = new Command('encrypt')
    .description('Give a key that has no passphrase one.')
    .argument('[name]', 'the key; without one, that which signs')
    .addOption(passphraseFileOption())
    .action(async (name: string | undefined, options: { readonly passphraseFile?: string }) => {
      const folder = new KeyFolder(io.config.home);
      const key = await folder.require(name ?? (await folder.signing()).current);
      await encrypt(io, command, folder, key, options.passphraseFile);
    });
  return withExamples(command, 'flotilla keys encrypt', 'flotilla keys encrypt publisher --passphrase-file passphrase');
}

async function encrypt(
  io: CliIo,
  command: Command,
  folder: KeyFolder,
  key: StoredKey,
  passphraseFile: string | undefined,
): Promise<void> {
  if (key.kind === 'held') {
    throw new AppError(
      'request.invalid',
      `${key.path} is looked after by something else, which reads it without a passphrase`,
    );
  }
  const passphrases = new Passphrases(io, passphraseFile);
  const done = await folder.encrypt(key, () => passphrases.fresh(key.name));
  const now = await folder.require(key.name);
  outputOf(io, command).result({ ...now, encrypted: done }, () =>
    done ? `${key.name} is under its passphrase now, in ${now.path}` : `${key.name} has a passphrase already`,
  );
}

export function rotateCommand(io: CliIo): Command {
  const command = withMakeOptions(
    new Command('rotate').description(
      'Make the key that takes the place of the one that signs; both sign until --finish.',
    ),
  )
    .option('--finish', 'the old one no longer signs')
    .action(async (options: MakeOptions & { readonly finish?: boolean }) => {
      const folder = new KeyFolder(io.config.home);
      const { current, previous } = await folder.signing();
      if (options.finish === true) {
        if (previous === undefined) {
          throw new AppError('key.not-found', `only ${current} signs: flotilla keys rotate begins with a new key`);
        }
        await folder.setSigning({ current });
        outputOf(io, command).result({ current, former: previous }, () => afterFinish(current, previous));
        return;
      }
      if (previous !== undefined) {
        throw new AppError(
          'key.exists',
          `${current} is taking the place of ${previous} already: flotilla keys rotate --finish ends that`,
        );
      }
      const old = await folder.require(current);
      const name = options.name === undefined ? await nextName(folder, current) : parseName(options.name, 'key');
      if ((await folder.find(name)) === undefined) await makeKey(io, folder, name, options);
      const key = await folder.require(name);
      await folder.setSigning({ current: name, previous: old.name });
      outputOf(io, command).result({ current: key, former: old }, () => afterRotate(key, old));
    });
  return withExamples(
    command,
    'flotilla keys rotate',
    'flotilla keys rotate --name publisher-2027',
    'flotilla keys rotate --finish',
  );
}

/** `publisher`, `publisher-2`, `publisher-3`. */
async function nextName(folder: KeyFolder, current: string): Promise<string> {
  const [, stem = current, digits] = /^(.+?)(?:-(\d{1,4}))?$/.exec(current) ?? [];
  for (let number = Number(digits ?? '1') + 1; ; number++) {
    const name = `${stem.slice(0, 57)}-${String(number)}`;
    if ((await folder.find(name)) === undefined && (await folder.findKnown(name)) === undefined) return name;
  }
}

function afterRotate(key: StoredKey, old: StoredKey): string {
  return [
    `made ${key.path}; what is signed from now on is signed by ${key.name} and by ${old.name}`,
    'Next, for each workspace:',
    '  flotilla trust propose --publish          devices learn that both count',
    '  flotilla image sign <image> --from <dir>  for each image that is to go on',
    '  flotilla trust status                     until every device and image is ready',
    '  flotilla keys rotate --finish             the old key no longer signs',
    `  flotilla trust propose --withdraw ${old.name} --publish`,
  ].join('\n');
}

function afterFinish(current: string, former: string): string {
  return [
    `only ${current} signs from now on`,
    'Next:',
    `  flotilla trust propose --withdraw ${former} --publish   devices refuse what only it signed`,
    `  flotilla keys remove ${former}                          when every device has that: flotilla trust status`,
  ].join('\n');
}
