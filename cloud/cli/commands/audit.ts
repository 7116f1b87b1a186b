/** `flotilla audit list | verify | export`: who changed what, and whether that is what was written. */
import { Command, Option } from 'commander';
import type * as z from 'zod';
import { AppError } from '#shared/kernel/errors.js';
import { toInstant } from '#shared/kernel/clock.js';
import type { ChainPoint } from '#cloud/audit/audit-chain.js';
import { type AuditVerdict, verifyAudit } from '#cloud/audit/audit-reader.js';
import type { FlotillaClient } from '#cloud/client/flotilla-client.js';
import { routes } from '#cloud/client/routes.js';
import type { auditBody } from '#cloud/http/schemas/audit.js';
import { parseCount, parseDurationMs } from '../argument-parsers.js';
import type { CliIo } from '../cli-io.js';
import { withExamples } from '../help.js';
import { formatList } from '../output.js';
import { outputOf, withSession } from '../session.js';

type Entry = z.output<typeof auditBody>;

export function auditCommand(io: CliIo): Command {
  const group = new Command('audit').description('Who changed what, from where, and how it ended. For owners.');
  for (const command of [listCommand(io), verifyCommand(io), exportCommand(io)]) group.addCommand(command);
  return withExamples(group, 'flotilla audit list --since 1d', 'flotilla audit verify');
}

const installationOption = (): Option =>
  new Option('--installation', 'of the whole installation, not of the workspace');

interface ListOptions {
  readonly since?: string;
  readonly actor?: string;
  readonly action?: string;
  readonly limit: string;
  readonly installation?: boolean;
}

function listCommand(io: CliIo): Command {
  const command = new Command('list')
    .description('List changes, newest first.')
    .option('--since <duration>', 'not older than this')
    .option('--actor <name>', 'by whom: the name or id of a token, a person, a device')
    .option('--action <text>', 'what was done, or a part of it, for example "retire"')
    .option('--limit <count>', 'at most so many', '50')
    .addOption(installationOption())
    .action(async ({ since, actor, action, limit, installation }: ListOptions) => {
      const count = parseCount(limit, 100_000);
      const query = {
        ...(since === undefined ? {} : { since: toInstant(io.clock.now() - parseDurationMs(since)) }),
        ...(actor === undefined ? {} : { actor }),
        ...(action === undefined ? {} : { action }),
      };
      await withSession(io, command, async ({ client, out }) => {
        const route = installation ? routes.installationAudit : routes.audit;
        const items = await client.list(route, { query }, count);
        out.result(items, () =>
          formatList(
            items,
            ['ENTRY', 'AT', 'WHO', 'FROM', 'OUTCOME', 'WHAT', 'ON'],
            (entry) => [
              ...[String(entry.sequence), entry.at, whoOf(entry), entry.origin ?? '-', entry.outcome],
              ...[entry.action.replace(/\/v1\/workspaces\/:workspace/, ''), entry.target],
            ],
            'no changes',
          ),
        );
      });
    });
  return withExamples(
    command,
    'flotilla audit list --since 1d --actor ci',
    'flotilla audit list --installation --action token --output json',
  );
}

interface VerifyOptions {
  readonly file?: string;
  readonly expect?: string;
}

function verifyCommand(io: CliIo): Command {
  const command = new Command('verify')
    .description('Walk the chain of all entries; says at which one it breaks (exit code 1).')
    .option('--file <control.db>', 'a copy of the control database, without a control plane')
    .option('--expect <entry:hash>', 'an end of the chain that was noted earlier, elsewhere')
    .action(async ({ file, expect }: VerifyOptions) => {
      const noted = expect === undefined ? undefined : parsePoint(expect);
      const report = (verdict: AuditVerdict): void => {
        const { entries, head, fault } = verdict;
        if (fault) {
          throw new AppError('audit.broken', `${fault.reason}; ${String(entries)} entries before it hold`, {
            details: { ...fault },
          });
        }
        outputOf(io, command).result({ entries, head }, () =>
          [
            `${String(entries)} entries, each as it was written`,
            `the end: ${String(head.sequence)}:${head.hash}   (noted elsewhere, --expect checks it later)`,
          ].join('\n'),
        );
      };
      if (file !== undefined) {
        const { verifyAuditFile } = await import('#cloud/audit/audit-file.js');
        report(await verifyAuditFile(file, noted));
      } else {
        await withSession(io, command, async ({ client }) => report(await verifyRemote(client, noted)));
      }
    });
  return withExamples(
    command,
    'flotilla audit verify',
    'flotilla audit verify --expect 1024:9f86d081…',
    'flotilla audit verify --file /backup/control.db',
  );
}

function exportCommand(io: CliIo): Command {
  const command = new Command('export')
    .description('Write every entry of the installation, oldest first, one JSON object a line.')
    .action(async () => {
      await withSession(io, command, async ({ client }) => {
        for (let last = 0; ; ) {
          const rows = await rowsAfter(client, last, 500);
          for (const row of rows) io.stdout.write(`${JSON.stringify(row)}\n`);
          const end = rows.at(-1);
          if (!end) return;
          last = end.sequence;
        }
      });
    });
  return withExamples(command, 'flotilla audit export > audit.jsonl');
}

/** Here, not there: a control plane that judged itself would prove nothing. */
async function verifyRemote(client: FlotillaClient, noted: ChainPoint | undefined): Promise<AuditVerdict> {
  const ends = await client.call(routes.auditChain);
  return verifyAudit(ends, (after, limit) => rowsAfter(client, after, limit), noted);
}

async function rowsAfter(client: FlotillaClient, after: number, limit: number): Promise<Entry[]> {
  const query = { order: 'oldest' as const, cursor: String(after), limit };
  return (await client.call(routes.installationAudit, { query })).items;
}

function whoOf({ actorKind, actorId, actorName }: Entry): string {
  return actorName === null ? `${actorKind} ${actorId}` : `${actorName} (${actorKind})`;
}

function parsePoint(text: string): ChainPoint {
  const [, sequence, hash] = /^([0-9]{1,15}):([0-9a-f]{64})$/.exec(text) ?? [];
  if (sequence !== undefined && hash !== undefined) return { sequence: Number(sequence), hash };
  throw new AppError('request.invalid', '--expect takes entry:hash, as "flotilla audit verify" printed it');
}
