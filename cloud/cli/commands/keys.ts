/** `flotilla keys init | show`: the key that signs the images built on this machine. */
import { Command } from 'commander';
import { AppError } from '#shared/kernel/errors.js';
import type { CliIo } from '../cli-io.js';
import { withExamples } from '../help.js';
import { formatFields } from '../output.js';
import { ensurePublisherKey, publisherKeyPath, readPublisherKey } from '../publisher-key.js';
import { outputOf } from '../session.js';

export function keysCommand(io: CliIo): Command {
  const group = new Command('keys').description("This machine's publisher key, which signs the images built here.");
  for (const command of [initCommand(io), showCommand(io)]) group.addCommand(command);
  return withExamples(group, 'flotilla keys init', 'flotilla keys show');
}

function initCommand(io: CliIo): Command {
  const command = new Command('init').description('Make the publisher key, where there is none.').action(async () => {
    const { key, made } = await ensurePublisherKey(io.config.home);
    const path = publisherKeyPath(io.config.home);
    outputOf(io, command).result({ keyId: key.keyId, publicKey: key.publicKey, path, made }, () =>
      made ? `made ${path}; keep a copy, devices trust images by it` : `${path} exists already and stays as it is`,
    );
  });
  return withExamples(command, 'flotilla keys init');
}

function showCommand(io: CliIo): Command {
  const command = new Command('show').description('Show the public half.').action(async () => {
    const key = await readPublisherKey(io.config.home);
    const path = publisherKeyPath(io.config.home);
    if (key === undefined) throw new AppError('config.invalid', `there is no key at ${path}; flotilla keys init`);
    outputOf(io, command).result({ keyId: key.keyId, publicKey: key.publicKey, path }, () =>
      formatFields([
        ['key id', key.keyId],
        ['public key', key.publicKey],
        ['file', path],
      ]),
    );
  });
  return withExamples(command, 'flotilla keys show', 'flotilla keys show --output json | jq -r .publicKey');
}
