/** `flotilla device claim …`: one secret that lets many devices in. */
import { readFile } from 'node:fs/promises';
import { Command } from 'commander';
import { AppError, messageOf } from '#shared/kernel/errors.js';
import { routes } from '#cloud/client/routes.js';
import { collect, parseCount, parseDurationSeconds, parseName, parseTags } from '../argument-parsers.js';
import type { CliIo } from '../cli-io.js';
import { composeToken, publisherOption, resolvePublishers } from '../composed-token.js';
import { withExamples } from '../help.js';
import { afterOption, limitOption, noteMore, type PageFlags, readPageFlags } from '../list-paging.js';
import { formatAge, formatList, formatTags } from '../output.js';
import { withSession } from '../session.js';

export function deviceClaimCommand(io: CliIo): Command {
  const group = new Command('claim').description(
    'Fleet claims: one secret that lets many devices in, counted, slowed down, and by approval where you say so.',
  );
  for (const command of [createCommand(io), listCommand(io), revokeCommand(io), pendingCommand(io)]) {
    group.addCommand(command);
  }
  group.addCommand(decisionCommand(io, 'approve', 'Let a device in that waits.'));
  group.addCommand(decisionCommand(io, 'reject', 'Turn a device away that waits; its place is free again.'));
  return withExamples(group, 'flotilla device claim create --name factory-7 --max 1000 --approve');
}

interface CreateOptions {
  readonly name: string;
  readonly max: string;
  readonly ttl: string;
  readonly approve: boolean;
  readonly rate: string;
  readonly hardwareIds?: string;
  readonly nameTemplate?: string;
  readonly tag: readonly string[];
  readonly allowTag: readonly string[];
  readonly publisher: readonly string[];
}

function createCommand(io: CliIo): Command {
  const command = new Command('create')
    .description('Make a claim; its token goes into the image or the provisioning of the devices.')
    .requiredOption('--name <claim>', 'what you call it')
    .requiredOption('--max <count>', 'so many devices at most')
    .option('--ttl <duration>', 'how long it lets devices in', '7d')
    .option('--approve', 'each device waits until you approve it', false)
    .option('--rate <count/s>', 'so many new devices a second at most', '10/s')
    .option('--hardware-ids <file>', 'only this hardware, one id a line, each once')
    .option('--name-template <text>', 'the claim names its devices, as in cam-{hardware}')
    .option('--tag <k=v>', 'a tag that the devices get; several times', collect, [])
    .option('--allow-tag <name>', 'a tag that a device may set itself, "*" for any; several times', collect, [])
    .option(...publisherOption, collect, [])
    .action(async (options: CreateOptions) => {
      const { nameTemplate, hardwareIds } = options;
      const body = {
        name: parseName(options.name, 'claim'),
        maxDevices: parseCount(options.max, 1_000_000),
        ttlSeconds: parseDurationSeconds(options.ttl),
        approval: options.approve,
        ratePerSecond: parseRate(options.rate),
        tags: parseTags(options.tag),
        allowTags: [...options.allowTag],
        ...(nameTemplate === undefined ? {} : { nameTemplate }),
        ...(hardwareIds === undefined ? {} : { hardwareIds: await readHardwareIds(hardwareIds) }),
      };
      const others = await resolvePublishers(io, options.publisher);
      await withSession(io, command, async ({ client, out }) => {
        const { expiresAt, ...server } = await client.call(routes.claimCreate, { body });
        const { token, publishers } = await composeToken(io, server, others, (note) => out.note(note));
        const enrol = `flotilla-agent enroll --token ${token}${nameTemplate === undefined ? ' --name <name>' : ''}`;
        const shown = { name: body.name, token, expiresAt, url: server.url, publishers, command: enrol };
        out.result(shown, () =>
          [
            `Claim ${body.name} for ${String(body.maxDevices)} devices, until ${expiresAt}. Who has its token can enrol:`,
            token,
            '',
            'On each device:',
            `  ${enrol}`,
          ].join('\n'),
        );
      });
    });
  return withExamples(
    command,
    'flotilla device claim create --name factory-7 --max 1000 --ttl 7d --tag line=7',
    'flotilla device claim create --name depot --max 40 --hardware-ids ids.txt --name-template cam-{hardware} --approve',
  );
}

function listCommand(io: CliIo): Command {
  const command = new Command('list')
    .description('List the claims, by name.')
    .option(...limitOption)
    .option(...afterOption)
    .action(async (options: PageFlags) => {
      const { limit, cursor } = readPageFlags(options);
      await withSession(io, command, async ({ client, out }) => {
        const { items, next } = await client.piece(routes.claimList, { query: { cursor } }, limit);
        out.result(items, () =>
          formatList(
            items,
            ['CLAIM', 'STATE', 'DEVICES', 'WAITING', 'ENDS', 'TAGS'],
            ({ name, state, taken, maxDevices, pending, expiresAt, tags }) => [
              name,
              state,
              `${String(taken)} of ${String(maxDevices)}`,
              String(pending),
              expiresAt,
              formatTags(tags),
            ],
            'no claims; flotilla device claim create makes one',
          ),
        );
        noteMore(out, { next });
      });
    });
  return withExamples(command, 'flotilla device claim list', 'flotilla device claim list --limit 50');
}

function revokeCommand(io: CliIo): Command {
  const command = new Command('revoke')
    .description('End a claim: it lets nobody in any more. Devices that came with it stay.')
    .argument('<claim>')
    .action(async (text: string) => {
      const claim = parseName(text, 'claim');
      await withSession(io, command, async ({ client, out }) => {
        const body = await client.call(routes.claimRevoke, { params: { claim } });
        out.result(body, () => `revoked ${body.name}`);
      });
    });
  return withExamples(command, 'flotilla device claim revoke factory-7');
}

function pendingCommand(io: CliIo): Command {
  const command = new Command('pending')
    .description('List the devices that wait for approval, the oldest first.')
    .argument('<claim>')
    .option(...limitOption)
    .option(...afterOption)
    .action(async (text: string, options: PageFlags) => {
      const claim = parseName(text, 'claim');
      const { limit, cursor } = readPageFlags(options);
      await withSession(io, command, async ({ client, out }) => {
        const input = { params: { claim }, query: { state: 'pending', cursor } } as const;
        const { items, next } = await client.piece(routes.claimRequests, input, limit);
        out.result(items, () =>
          formatList(
            items,
            ['DEVICE', 'HARDWARE', 'SINCE'],
            ({ device, hardwareId, requestedAt }) => [
              device,
              hardwareId ?? '-',
              formatAge(requestedAt, io.clock.now()),
            ],
            'nobody waits',
          ),
        );
        noteMore(out, { next });
      });
    });
  return withExamples(
    command,
    'flotilla device claim pending factory-7',
    'flotilla device claim pending factory-7 --limit 100',
  );
}

function decisionCommand(io: CliIo, verdict: 'approve' | 'reject', description: string): Command {
  const command = new Command(verdict)
    .description(description)
    .argument('<claim>')
    .argument('[device]', 'its name; without it, all that wait: --all')
    .option('--all', 'all that wait now', false)
    .option('--reason <text>', 'what a rejected device is told', 'rejected by the operator')
    .action(async (text: string, name: string | undefined, options: { all: boolean; reason: string }) => {
      const claim = parseName(text, 'claim');
      if ((name === undefined) !== options.all) {
        throw new AppError(
          'request.invalid',
          `name one device, or say --all: flotilla device claim ${verdict} ${claim} cam-1`,
        );
      }
      const device = name === undefined ? {} : { device: parseName(name, 'device') };
      await withSession(io, command, async ({ client, out }) => {
        const body = { verdict, ...device, reason: options.reason };
        const { devices } = await client.call(routes.claimDecide, { params: { claim }, body });
        out.result({ verdict, devices }, () =>
          devices.length === 0
            ? 'nobody waits'
            : `${verdict === 'approve' ? 'approved' : 'rejected'} ${devices.join(', ')}`,
        );
      });
    });
  return withExamples(
    command,
    `flotilla device claim ${verdict} factory-7 cam-12`,
    `flotilla device claim ${verdict} factory-7 --all`,
  );
}

function parseRate(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(?:\/(s|m|h))?$/.exec(text);
  const per = { s: 1, m: 60, h: 3600 }[match?.[2] ?? 's'] ?? 1;
  const rate = Number(match?.[1]) / per;
  if (rate >= 0.01 && rate <= 1000) return rate;
  throw new AppError(
    'request.invalid',
    `--rate ${text.slice(0, 40)} is no rate: write 10/s, 30/m or 100/h, from 0.01 to 1000 a second`,
  );
}

async function readHardwareIds(path: string): Promise<string[]> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    throw new AppError('request.invalid', `cannot read --hardware-ids ${path}: ${messageOf(error)}`, { cause: error });
  }
  const ids = text
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
  if (ids.length > 0) return ids;
  throw new AppError('request.invalid', `--hardware-ids ${path} names no hardware: write one id a line`);
}
