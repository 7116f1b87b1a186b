/** `flotilla score`: one input scored on the device, as a direct command through MQTT. */
import { Command } from 'commander';
import * as z from 'zod';
import { AppError, type ErrorCode, isErrorCode } from '#shared/kernel/errors.js';
import type { OperationResult } from '#shared/protocol/commands.js';
import { parseDurationSeconds, parseName } from '../argument-parsers.js';
import type { CliIo } from '../cli-io.js';
import { withExamples } from '../help.js';
import { readJsonInput } from '../input.js';
import { withSession } from '../session.js';

interface ScoreOptions {
  readonly device: string;
  readonly module: string;
  readonly input: string;
  readonly timeout: string;
}

export function scoreCommand(io: CliIo): Command {
  const command = new Command('score')
    .description('Score one input on a device and print what its module answers.')
    .requiredOption('--device <name>', 'the device')
    .requiredOption('--module <name>', 'the module')
    .requiredOption(
      '--input <file>',
      'JSON: an Open Inference Protocol V2 request, or what the script takes; "-" is standard input',
    )
    .option('--timeout <duration>', 'how long the device may take', '15s')
    .action(async (options: ScoreOptions) => {
      const device = parseName(options.device, 'device');
      const module = parseName(options.module, 'module');
      const seconds = parseDurationSeconds(options.timeout);
      const input = z.json().parse(await readJsonInput(io, options.input));
      await withSession(io, command, async ({ client, out }) => {
        const answer = await client.command(device, 'score', { module, input }, seconds);
        if (answer.status >= 400) throw scoreFailure(answer, device, module);
        out.result(answer, () => JSON.stringify(answer.output, null, 2));
      });
    });
  return withExamples(
    command,
    'flotilla score --device cam-1 --module digits --input modules/digits/fixtures/digit.json',
    "jq '.[0].request' modules/digits/golden.json | flotilla score --device cam-1 --module digits --input -",
  );
}

const failureOutput = z.object({
  code: z.string().optional(),
  error: z.string().optional(),
  message: z.string().optional(),
});

/** The module's own words, under its code where it gave one that we know. */
function scoreFailure(answer: OperationResult<'score'>, device: string, module: string): AppError {
  const said = failureOutput.safeParse(answer.output);
  const { code, error, message } = said.success ? said.data : {};
  const text = error ?? message ?? `status ${String(answer.status)}`;
  const known = code !== undefined && isErrorCode(code) ? code : codeOf(answer.status);
  return new AppError(known, `${module} on ${device}: ${text}`, { details: { status: answer.status } });
}

function codeOf(status: number): ErrorCode {
  if (status === 404) return 'module.not-found';
  if (status === 429 || status === 503) return 'score.overloaded';
  if (status === 504) return 'score.timeout';
  return status < 500 ? 'score.invalid-input' : 'score.failed';
}
