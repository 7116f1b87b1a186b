/** `flotilla device ping | restart | explain | check | bundle`: asked of the device itself, each with a deadline. */
import { Command } from 'commander';
import { AppError } from '#shared/kernel/errors.js';
import { digestOf } from '#shared/package/digest.js';
import { writeFileAtomic } from '#shared/platform/atomic-file.js';
import type { OperationResult } from '#shared/protocol/commands.js';
import type { FlotillaClient } from '#cloud/client/flotilla-client.js';
import { parseDurationSeconds, parseName } from '../argument-parsers.js';
import type { CliIo } from '../cli-io.js';
import { withExamples } from '../help.js';
import { formatBytes, formatTable, printable } from '../output.js';
import type { Progress } from '../progress.js';
import { withSession } from '../session.js';

export function diagnosisCommands(io: CliIo): Command[] {
  return [pingCommand(io), restartCommand(io), explainCommand(io), checkCommand(io), bundleCommand(io)];
}

/** With the argument and the option that all of them have. */
function asked(name: string, description: string, timeout = '15s'): Command {
  return new Command(name)
    .description(description)
    .argument('<device>')
    .option('--timeout <duration>', 'how long the device may take', timeout);
}

interface Deadline {
  readonly timeout: string;
}

function pingCommand(io: CliIo): Command {
  const command = asked('ping', 'Ask a device whether it answers.').action(async (text: string, options: Deadline) => {
    const device = parseName(text, 'device');
    await withSession(io, command, async ({ client, out }) => {
      const startedMs = io.clock.monotonic();
      const answer = await client.command(device, 'ping', {}, parseDurationSeconds(options.timeout));
      const milliseconds = Math.round(io.clock.monotonic() - startedMs);
      out.result(
        { device, ...answer, milliseconds },
        () =>
          `${device} answered in ${String(milliseconds)} ms: agent ${printable(answer.agentVersion)}, up for ${String(answer.uptimeSeconds)} s`,
      );
    });
  });
  return withExamples(command, 'flotilla device ping cam-1 --timeout 5s');
}

function restartCommand(io: CliIo): Command {
  const command = asked('restart', 'Start a module of a device anew, without dropping a request.', '60s')
    .argument('<module>')
    .action(async (text: string, name: string, options: Deadline) => {
      const device = parseName(text, 'device');
      const module = parseName(name, 'module');
      await withSession(io, command, async ({ client, out }) => {
        await client.command(device, 'restart', { module }, parseDurationSeconds(options.timeout));
        out.result({ device, module, restarted: true }, () => `restarting ${module} on ${device}`);
      });
    });
  return withExamples(command, 'flotilla device restart cam-1 digits');
}

function explainCommand(io: CliIo): Command {
  const command = asked('explain', 'Why a device does what it does: desired, observed, what it waits for.').action(
    async (text: string, options: Deadline) => {
      const device = parseName(text, 'device');
      await withSession(io, command, async ({ client, out }) => {
        const { explanation } = await client.command(device, 'explain', {}, parseDurationSeconds(options.timeout));
        out.result(explanation, () => printable(JSON.stringify(explanation, null, 2)));
      });
    },
  );
  return withExamples(command, 'flotilla device explain cam-1', "flotilla device explain cam-1 | jq '.waiting'");
}

function checkCommand(io: CliIo): Command {
  const command = asked('check', 'Have a device look at all that it needs.', '30s').action(
    async (text: string, options: Deadline) => {
      const device = parseName(text, 'device');
      await withSession(io, command, async ({ client, out }) => {
        const { findings } = await client.command(device, 'check', {}, parseDurationSeconds(options.timeout));
        out.result(findings, () => findingsTable(findings));
        const wrong = findings.filter(({ outcome }) => outcome === 'error').map(({ check }) => check);
        if (wrong.length > 0) throw new AppError('process.failed', `not as it should be: ${wrong.join(', ')}`);
      });
    },
  );
  return withExamples(command, 'flotilla device check cam-1');
}

function findingsTable(findings: OperationResult<'check'>['findings']): string {
  const rows = findings.map(({ check, outcome, message, remedy }) => [
    check,
    outcome,
    remedy === undefined ? message : `${message}; ${remedy}`,
  ]);
  return formatTable(
    ['CHECK', 'OUTCOME', 'WHAT'],
    rows.map((row) => row.map(printable)),
  );
}

function bundleCommand(io: CliIo): Command {
  const command = asked('bundle', "Fetch a device's state, checks and logs as one archive, without secrets.", '60s')
    .option('--to <file>', 'where to (default: <device>-bundle.tar.gz)')
    .action(async (text: string, options: Deadline & { readonly to?: string }) => {
      const device = parseName(text, 'device');
      const file = options.to ?? `${device}-bundle.tar.gz`;
      const seconds = parseDurationSeconds(options.timeout);
      await withSession(io, command, async ({ client, out, progress }) => {
        const bytes = await fetchBundle(client, device, seconds, progress);
        await writeFileAtomic(file, bytes, { mode: 0o600 });
        out.result({ device, file, bytes: bytes.length }, () => `wrote ${file} (${formatBytes(bytes.length)})`);
      });
    });
  return withExamples(command, 'flotilla device bundle cam-1 --to cam-1.tar.gz');
}

/** In pieces, each asked for when the one before has come; `seconds` is for each. */
async function fetchBundle(
  client: FlotillaClient,
  device: string,
  seconds: number,
  progress: Progress,
): Promise<Buffer> {
  const { digest, size } = await client.command(device, 'bundle', {}, seconds);
  const pieces: Buffer[] = [];
  for (let offset = 0; offset < size; ) {
    progress.bytes('bundle', offset, size);
    const { bytes } = await client.command(device, 'bundle-read', { digest, offset }, seconds);
    const piece = Buffer.from(bytes, 'base64');
    if (piece.length === 0) break;
    pieces.push(piece);
    offset += piece.length;
  }
  progress.clear();
  const whole = Buffer.concat(pieces);
  if (digestOf(whole) !== digest) {
    throw new AppError('blob.digest-mismatch', `what ${device} sent is not the bundle that it announced; ask again`);
  }
  return whole;
}
