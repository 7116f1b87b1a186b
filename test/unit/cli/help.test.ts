import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Command } from 'commander';
import { buildProgram } from '#cloud/cli/commands.js';
import { commandTree, pathOf } from '#cloud/cli/help.js';
import type { CliIo } from '#cloud/cli/cli-io.js';
import { CliHarness } from '#test/support/cli/cli-harness.js';

const program = await buildProgram({ version: '9.9.9' } as CliIo);
const commands = [...commandTree(program)].map((command) => ({ path: pathOf(command), command }));

let cli: CliHarness;
beforeAll(async () => {
  cli = await CliHarness.make();
});
afterAll(() => cli.remove());

const wordsOf = (command: Command): string[] => pathOf(command).split(' ').slice(1);

describe('the command tree', () => {
  it.each([
    'cloud',
    'serve',
    'login',
    'workspace create',
    'workspace list',
    'workspace delete',
    'workspace use',
    'model register',
    'model list',
    'model show',
    'model download',
    'model delete',
    'model tag',
    'keys init',
    'keys list',
    'keys rotate',
    'keys encrypt',
    'keys export-public',
    'keys import-public',
    'keys remove',
    'module init',
    'image sign',
    'trust show',
    'trust status',
    'trust propose',
    'trust sign',
    'trust publish',
    'trust rotate director',
    'keys show',
    'image build',
    'image list',
    'image show',
    'image delete',
    'image export',
    'device token',
    'device list',
    'device show',
    'device tag',
    'device retire',
    'device modules',
    'device events',
    'device logs',
    'device telemetry',
    'release create',
    'release list',
    'release show',
    'release diff',
    'release delete',
    'apply',
    'fleet create',
    'fleet list',
    'fleet show',
    'fleet update',
    'fleet delete',
    'fleet members',
    'deploy',
    'undeploy',
    'logs',
    'telemetry',
    'alert apply',
    'alert list',
    'alert show',
    'alert delete',
    'alert test',
    'score',
    'activity list',
    'activity show',
    'activity log',
    'activity cancel',
    'events',
  ])('has %s', (words) => {
    expect(commands.map(({ path }) => path)).toContain(`flotilla ${words}`);
  });
});

describe.each(commands)('$path --help', ({ command }) => {
  it('says what it does, shows the global flags, and ends with examples of real commands and flags', async () => {
    const { exit, stdout, stderr } = await cli.run([...wordsOf(command), '--help']);
    expect(exit).toBe(0);
    expect(stderr).toBe('');
    expect(command.description()).not.toBe('');
    if (command !== program) expect(stdout).toContain('--output <format>');
    const [, examples] = stdout.split(/\nExamples?:\n/);
    expect(examples, 'an Example section').toBeDefined();
    for (const line of (examples ?? '').trim().split('\n')) {
      for (const part of line.replace(/^\s*\$ /, '').split(/ \| | && /)) {
        if (part.startsWith('flotilla ')) expectKnown(part.split(' ').slice(1));
      }
    }
  });
});

/** The words lead to a command, and every flag is one of its own or a global one. */
function expectKnown(words: readonly string[]): void {
  let at: Command = program;
  for (const word of words) {
    const child = at.commands.find((command) => command.name() === word);
    if (child === undefined) break;
    at = child;
  }
  expect(at, words.join(' ')).not.toBe(program);
  const known = [...at.options, ...program.options].flatMap(({ long, short }) => [long, short]);
  const flags = words.filter((word) => /^--?[a-z]/.test(word));
  for (const flag of flags) expect(known, `${words.join(' ')}: ${flag}`).toContain(flag);
}
