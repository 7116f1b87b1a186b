/** `flotilla data …`: what endpoints and devices collected. */
import { createWriteStream } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { Command } from 'commander';
import { AppError } from '#shared/kernel/errors.js';
import { diskError } from '#shared/platform/atomic-file.js';
import type { FlotillaClient } from '#cloud/client/flotilla-client.js';
import { routes } from '#cloud/client/routes.js';
import type { DataFileBody } from '#cloud/http/schemas/data.js';
import type { CliIo } from '../cli-io.js';
import { withExamples } from '../help.js';
import { afterOption, limitOption, noteMore, type PageFlags, readPageFlags } from '../list-paging.js';
import { formatBytes, formatList } from '../output.js';
import { withSession } from '../session.js';
import { collectCommand, stopCommand } from './data-collect.js';

export function dataCommand(io: CliIo): Command {
  const group = new Command('data').description(
    'What endpoints and devices collected: a sample of requests and answers.',
  );
  for (const make of [listCommand, downloadCommand, deleteCommand, collectCommand, stopCommand]) {
    group.addCommand(make(io));
  }
  return withExamples(
    group,
    'flotilla data list modelDataCollector/fraud/blue/',
    'flotilla data download modelDataCollector/fraud/ --to collected',
    'flotilla data collect digits --fleet line-3 --rate 0.1 --redact pixels',
  );
}

const header = ['PATH', 'SIZE', 'LAST'];
const rowOf = ({ path, bytes, updatedAt }: DataFileBody): string[] => [path, formatBytes(bytes), updatedAt];
const nothing =
  'nothing was collected; flotilla deployment update --collect, or flotilla data collect for devices, begins it';

function listCommand(io: CliIo): Command {
  const command = new Command('list')
    .description('List files of collected data.')
    .argument('[prefix]', 'paths that begin so')
    .option(...limitOption)
    .option(...afterOption)
    .action(async (prefix: string | undefined, flags: PageFlags) => {
      const { limit, cursor } = readPageFlags(flags);
      await withSession(io, command, async ({ client, out }) => {
        const found = await client.piece(routes.dataList, { query: { prefix, cursor } }, limit);
        out.result(found.items, () => formatList(found.items, header, rowOf, nothing));
        noteMore(out, found);
      });
    });
  return withExamples(command, 'flotilla data list', 'flotilla data list modelDataCollector/fraud/blue/model_inputs/');
}

function downloadCommand(io: CliIo): Command {
  const command = new Command('download')
    .description('Copy collected data, as it is now, below a folder. Each file that is read is in the audit log.')
    .argument('<prefix>', 'a path, or what several begin with')
    .requiredOption('--to <folder>', 'where the files go, under their paths; those there are replaced')
    .action(async (prefix: string, { to }: { readonly to: string }) => {
      await withSession(io, command, async ({ client, out }) => {
        const files = await client.list(routes.dataList, { query: { prefix } });
        if (files.length === 0)
          throw new AppError('data.not-found', `no path begins with ${prefix}: flotilla data list`);
        const written: { path: string; file: string; bytes: number }[] = [];
        for (const { path } of files) written.push({ path, ...(await fetchFile(client, path, resolve(to))) });
        out.result(written, () => written.map(({ file, bytes }) => `${file}  ${formatBytes(bytes)}`).join('\n'));
      });
    });
  return withExamples(command, 'flotilla data download modelDataCollector/fraud/blue/ --to collected');
}

/** The path was checked as any answer of the server: it leads nowhere else. */
async function fetchFile(client: FlotillaClient, path: string, to: string): Promise<{ file: string; bytes: number }> {
  const file = join(to, path);
  const part = `${file}.part`;
  await mkdir(dirname(file), { recursive: true, mode: 0o700 }).catch((error: unknown) => {
    throw diskError(error, `cannot make ${dirname(file)}`);
  });
  try {
    const answer = await client.openData(path);
    const target = createWriteStream(part, { mode: 0o600 });
    await pipeline(answer, target);
    await rename(part, file);
    return { file, bytes: target.bytesWritten };
  } catch (error) {
    await rm(part, { force: true });
    throw error instanceof AppError ? error : diskError(error, `cannot copy ${path}`);
  }
}

function deleteCommand(io: CliIo): Command {
  const command = new Command('delete')
    .description('Delete every file of collected data whose path begins so. It is gone for good.')
    .argument('<prefix>')
    .option('--dry-run', 'list what would go', false)
    .action(async (prefix: string, { dryRun }: { readonly dryRun: boolean }) => {
      await withSession(io, command, async ({ client, out }) => {
        if (dryRun) {
          const files = await client.list(routes.dataList, { query: { prefix } });
          out.result({ dryRun, files }, () => formatList(files, header, rowOf, `no path begins with ${prefix}`));
          return;
        }
        const gone = await client.call(routes.dataDelete, { query: { prefix } });
        out.result(gone, () => `${String(gone.files)} files, ${formatBytes(gone.bytes)}, are deleted`);
      });
    });
  return withExamples(
    command,
    'flotilla data delete modelDataCollector/fraud/ --dry-run',
    'flotilla data delete modelDataCollector/fraud/blue/model_inputs/2026/11/',
  );
}
