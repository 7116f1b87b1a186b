/** `flotilla apply`: what a file says is there afterwards, and nothing is made that is there already. */
import { Command } from 'commander';
import { formatReference } from '#shared/kernel/names.js';
import { routes } from '#cloud/client/routes.js';
import type { CliIo } from '../cli-io.js';
import { withExamples } from '../help.js';
import { readReleaseFile } from '../release-file.js';
import { withSession } from '../session.js';
import { readYamlInput } from '../yaml-input.js';

export function applyCommand(io: CliIo): Command {
  const command = new Command('apply')
    .description('Make the next version of the release that a YAML file says, unless the newest is the same already.')
    .requiredOption('-f, --file <path>', 'the file; - for standard input')
    .action(async ({ file }: { readonly file: string }) => {
      const contents = readReleaseFile(await readYamlInput(io, file), file === '-' ? 'standard input' : file);
      await withSession(io, command, async ({ client, out }) => {
        const made = await client.call(routes.releaseCreate, { body: { ...contents, unlessSame: true } });
        out.result(made, () => `${formatReference(made)} ${made.created ? 'is made' : 'is the same already'}`);
      });
    });
  return withExamples(command, 'flotilla apply -f release.yaml');
}
