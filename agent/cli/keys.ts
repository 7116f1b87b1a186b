/** `flotilla-agent keys`: who may score on this device from other machines. It works with the agent running or not. */
import type { Command } from 'commander';
import { systemClock } from '#shared/kernel/clock.js';
import { AppError } from '#shared/kernel/errors.js';
import { configOf, example, type GlobalOptions, print } from '#agent/cli/command-parts.js';
import type { AgentConfig } from '#agent/config.js';
import { askAgent, type Question } from '#agent/local/local-client.js';
import { localSocketOf } from '#agent/local/local-socket.js';
import { type KeyView, type MadeKey, ScoringKeys } from '#agent/local/scoring-keys.js';
import { prepareStateFolder, stateFolder } from '#agent/store/state-folder.js';
import { takeStateLock } from '#agent/store/state-lock.js';

export const keysCommands = ['create', 'list', 'revoke'];

export function addKeys(program: Command): Command {
  const keys = program
    .command('keys')
    .description('Keys by which programs of other machines may score on this device.');
  const create = keys
    .command('create')
    .description('Makes a key and shows it, this once. It counts at once.')
    .argument('<name>', 'what it is known by here: a-z, 0-9 and "-"')
    .action(async (name: string) => {
      const made = await change(program, '/keys', { method: 'POST', body: { name } }, (here) => here.create(name));
      print(program.opts<GlobalOptions>(), made, () => madeText(made as MadeKey));
    });
  example(create, 'flotilla-agent keys create line-4');
  const list = keys
    .command('list')
    .description('The keys there are, without what is secret in them.')
    .action(async () => {
      const answer = await change(program, '/keys', {}, (here) => Promise.resolve({ keys: here.list() }));
      print(program.opts<GlobalOptions>(), answer, () => listText((answer as { keys: readonly KeyView[] }).keys));
    });
  example(list, 'flotilla-agent keys list');
  const revoke = keys
    .command('revoke')
    .description('Takes a key back: when this returns nobody is answered for it any more.')
    .argument('<name>', 'of the key')
    .action(async (name: string) => {
      const path = `/keys/${encodeURIComponent(name)}`;
      const answer = await change(program, path, { method: 'DELETE' }, async (here) => {
        await here.revoke(name);
        return { revoked: name };
      });
      print(program.opts<GlobalOptions>(), answer, () => [`Revoked ${name}.`]);
    });
  example(revoke, 'flotilla-agent keys revoke line-4');
  return example(keys, 'flotilla-agent keys create line-4');
}

/** Asks the agent that runs; where none does, does it here, with the folder locked against one that starts. */
async function change(
  program: Command,
  path: string,
  question: Question,
  alone: (keys: ScoringKeys) => Promise<unknown>,
): Promise<unknown> {
  const config = configOf(program.opts<GlobalOptions>(), {});
  try {
    return await askAgent(localSocketOf(config), path, question);
  } catch (error) {
    if (!(error instanceof AppError && error.code === 'server.unreachable')) throw error;
    return withoutAgent(config, alone);
  }
}

async function withoutAgent(config: AgentConfig, act: (keys: ScoringKeys) => Promise<unknown>): Promise<unknown> {
  const folder = stateFolder(config.stateDir);
  await prepareStateFolder(folder);
  const lock = await takeStateLock(folder.lock);
  try {
    return await act(
      await ScoringKeys.open(folder.scoringKeys, systemClock, (path) => {
        throw new AppError('state.corrupt', `${path} is damaged: remove it and its .previous, then make new keys`);
      }),
    );
  } finally {
    await lock.release();
  }
}

function madeText({ name, key }: MadeKey): string[] {
  return [
    `Key ${name}, shown this once:`,
    `  ${key}`,
    'Programs send it as "Authorization: Bearer …", over gRPC as metadata of that name.',
    'It is asked for where scoring.access is keys, or scoring.address is no loopback address.',
  ];
}

function listText(keys: readonly KeyView[]): string[] {
  if (keys.length === 0) return ['No keys.'];
  const width = Math.max(...keys.map(({ name }) => name.length), 'NAME'.length);
  return [`${'NAME'.padEnd(width)}  CREATED`, ...keys.map((key) => `${key.name.padEnd(width)}  ${key.createdAt}`)];
}
