/** `flotilla keys …`: the publisher keys of this machine, which sign its images and say whom devices trust. */
import { createPublicKey } from 'node:crypto';
import { Command } from 'commander';
import { AppError } from '#shared/kernel/errors.js';
import { keyIdOf, publicKeyObject } from '#shared/package/signing-key.js';
import { parseName } from '../argument-parsers.js';
import type { CliIo } from '../cli-io.js';
import { withExamples } from '../help.js';
import { readAll, readTextFile } from '../input.js';
import { KeyFolder, type KnownPublisher, type SigningNames, type StoredKey } from '../keys/key-folder.js';
import { formatFields, formatTable } from '../output.js';
import { outputOf } from '../session.js';
import { encryptCommand, initCommand, rotateCommand, useCommand } from './keys-make.js';

export function keysCommand(io: CliIo): Command {
  const group = new Command('keys').description("This machine's publisher keys, which sign the images built here.");
  for (const command of [
    initCommand(io),
    listCommand(io),
    showCommand(io),
    useCommand(io),
    encryptCommand(io),
    rotateCommand(io),
    exportCommand(io),
    importCommand(io),
    removeCommand(io),
  ]) {
    group.addCommand(command);
  }
  return withExamples(group, 'flotilla keys init', 'flotilla keys list', 'flotilla keys rotate');
}

function listCommand(io: CliIo): Command {
  const command = new Command('list')
    .description('List the keys of this machine, and the publishers it knows.')
    .action(async () => {
      const folder = new KeyFolder(io.config.home);
      const signing = await folder.signing();
      const keys = (await folder.list()).map((key) => ({ ...key, role: roleOf(key, signing) }));
      const known = await folder.known();
      outputOf(io, command).result({ keys, known }, () => formatKeys(keys, known));
    });
  return withExamples(command, 'flotilla keys list', 'flotilla keys list --output json | jq -r ".keys[].keyId"');
}

function roleOf({ name }: StoredKey, { current, previous }: SigningNames): 'signs' | 'signs along' | 'spare' {
  return name === current ? 'signs' : name === previous ? 'signs along' : 'spare';
}

function formatKeys(
  keys: readonly (StoredKey & { readonly role: string })[],
  known: readonly KnownPublisher[],
): string {
  const own = keys.map((key) => [key.name, key.role, kindText[key.kind], key.keyId.slice(0, 16), key.publicKey]);
  const others = known.map((one) => [one.name, 'another publisher', '-', one.keyId.slice(0, 16), one.publicKey]);
  const rows = [...own, ...others];
  if (rows.length === 0) return 'no keys; flotilla keys init makes one';
  return formatTable(['NAME', 'ROLE', 'KEPT', 'KEY ID', 'PUBLIC KEY'], rows);
}

const kindText = { encrypted: 'with a passphrase', plain: 'without a passphrase', held: 'elsewhere' } as const;

function showCommand(io: CliIo): Command {
  const command = new Command('show')
    .description('Show the public half of a key.')
    .argument('[name]', 'the key; without one, that which signs')
    .action(async (name: string | undefined) => {
      const folder = new KeyFolder(io.config.home);
      const key = await folder.require(name ?? (await folder.signing()).current);
      outputOf(io, command).result(key, () =>
        formatFields([
          ['name', key.name],
          ['key id', key.keyId],
          ['public key', key.publicKey],
          ['kept', kindText[key.kind]],
          ['file', key.path],
        ]),
      );
    });
  return withExamples(command, 'flotilla keys show', 'flotilla keys show --output json | jq -r .publicKey');
}

function exportCommand(io: CliIo): Command {
  const command = new Command('export-public')
    .description("Print a key's public half, for another machine's import-public.")
    .argument('[name]', 'the key; without one, that which signs')
    .option('--pem', 'as PEM, for other programs')
    .action(async (name: string | undefined, options: { readonly pem?: boolean }) => {
      const folder = new KeyFolder(io.config.home);
      const key = await folder.require(name ?? (await folder.signing()).current);
      const pem = publicKeyObject(key.publicKey)?.export({ format: 'pem', type: 'spki' }).toString() ?? '';
      outputOf(io, command).result({ publicKey: key.publicKey, keyId: key.keyId, pem }, () =>
        options.pem === true ? pem : key.publicKey,
      );
    });
  return withExamples(command, 'flotilla keys export-public', 'flotilla keys export-public --pem > publisher.pub.pem');
}

function importCommand(io: CliIo): Command {
  const command = new Command('import-public')
    .description('Give another publisher a name on this machine: for "device token --publisher" and "trust propose".')
    .argument('<key>', 'the public key, as export-public prints it; a file that holds it; or - for standard input')
    .requiredOption('--name <name>', 'what to call the publisher here')
    .action(async (given: string, options: { readonly name: string }) => {
      const name = parseName(options.name, 'key');
      const folder = new KeyFolder(io.config.home);
      const publicKey = parsePublicKey(
        publicKeyObject(given) === undefined ? await readGiven(io, given) : given,
        given,
      );
      const earlier = await folder.findKnown(name);
      if ((await folder.find(name)) !== undefined || (earlier !== undefined && earlier.publicKey !== publicKey)) {
        throw new AppError('key.exists', `${name} is the name of another key here: flotilla keys list; choose another`);
      }
      await folder.writeKnown(name, publicKey);
      outputOf(io, command).result({ name, publicKey, keyId: keyIdOf(publicKey) }, () =>
        [`${name} is ${publicKey}`, `compare the key id with theirs, by another way: ${keyIdOf(publicKey)}`].join('\n'),
      );
    });
  return withExamples(
    command,
    'flotilla keys import-public OtoEZLfkQqm7mfKTrM3PFtMQGOaKD8XX8rE3qrhGBZQ --name alice',
    'flotilla keys import-public alice.pub.pem --name alice',
  );
}

async function readGiven(io: CliIo, given: string): Promise<string> {
  return given === '-' ? readAll(io.stdin, 'standard input') : readTextFile(given);
}

/** As 43 characters, or as PEM. */
function parsePublicKey(text: string, where: string): string {
  const trimmed = text.trim();
  if (publicKeyObject(trimmed) !== undefined) return trimmed;
  try {
    if (trimmed.includes('PRIVATE')) throw new Error('a private key');
    const key = createPublicKey(trimmed);
    const { x } = key.export({ format: 'jwk' });
    if (key.asymmetricKeyType === 'ed25519' && x !== undefined) return x;
  } catch {
    // Said below, without quoting what was given.
  }
  throw new AppError(
    'key.invalid',
    `${where.slice(0, 80)} is no public key: give the 43 characters that "flotilla keys export-public" prints, or the PEM of an Ed25519 public key`,
  );
}

function removeCommand(io: CliIo): Command {
  const command = new Command('remove')
    .description('Remove a key, or a publisher that was imported, from this machine; devices do not notice.')
    .argument('<name>', 'the key')
    .option('--force', 'a key that signs too')
    .action(async (name: string, options: { readonly force?: boolean }) => {
      const folder = new KeyFolder(io.config.home);
      const known = await folder.findKnown(name);
      const key = known === undefined ? await folder.require(name) : undefined;
      const { current, previous } = await folder.signing();
      if (key !== undefined && (name === current || name === previous) && options.force !== true) {
        throw new AppError(
          'key.exists',
          `${name} signs: flotilla keys use <other>, or keys rotate --finish, first. Without a copy it is gone for ever; --force removes it all the same`,
        );
      }
      if (known !== undefined) await folder.removeKnown(name);
      else await folder.remove(name);
      const note = key?.kind === 'held' ? `; ${key.path} stays where it is` : '';
      outputOf(io, command).result({ removed: name }, () => `removed ${name}${note}`);
    });
  return withExamples(command, 'flotilla keys remove publisher', 'flotilla keys remove alice');
}
