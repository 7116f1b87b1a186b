/** `flotilla endpoint shift start`: by a policy file, or by steps that are typed. */
import { Command } from 'commander';
import { AppError } from '#shared/kernel/errors.js';
import { routes } from '#cloud/client/routes.js';
import { checkShiftPolicy, type ShiftPolicy, shiftPolicySchema } from '#cloud/services/shift/shift-policy.js';
import { parseCount, parseName } from '../argument-parsers.js';
import type { CliIo } from '../cli-io.js';
import { withExamples } from '../help.js';
import { withSession } from '../session.js';
import { readShiftFile } from '../shift-file.js';
import { describeShift } from '../shift-text.js';
import { followShift } from '../shift-watch.js';
import { readYamlInput } from '../yaml-input.js';

interface StartOptions {
  readonly to: string;
  readonly policy?: string;
  readonly steps?: string;
  readonly stepSeconds?: string;
  readonly watch: boolean;
}

const maxStepSeconds = 30 * 86_400;

export function shiftStartCommand(io: CliIo): Command {
  const command = new Command('start')
    .description('Let a deployment take over the traffic of an endpoint in steps, as long as its gates pass.')
    .argument('<endpoint>')
    .requiredOption('--to <deployment>', 'that is to answer everything')
    .option('--policy <path>', 'how it goes, a YAML file; - for standard input')
    .option(
      '--steps <percents>',
      'in the place of a file: percent of the requests, step by step (default: 5,25,50,100)',
    )
    .option('--step-seconds <seconds>', 'how long each step is watched at least (default: 60)')
    .option('--watch', 'follow it until it is over', false)
    .action(async (text: string, options: StartOptions) => {
      const endpoint = parseName(text, 'endpoint');
      const to = parseName(options.to, 'deployment');
      const policy = await policyOf(io, options);
      await withSession(io, command, async (session) => {
        const started = await session.client.call(routes.shiftStart, { params: { endpoint }, body: { to, policy } });
        if (options.watch) return followShift(session, started);
        session.out.result(started, () => describeShift(started));
        if (policy.gates === undefined) session.out.note('no gates: time alone decides; give some by --policy');
        session.out.note(`next: flotilla endpoint shift watch ${endpoint}`);
        return undefined;
      });
    });
  return withExamples(
    command,
    'flotilla endpoint shift start fraud --to green --policy shift.yaml --watch',
    'flotilla endpoint shift start fraud --to green --steps 10,50,100 --step-seconds 300',
  );
}

async function policyOf(io: CliIo, { policy: path, steps, stepSeconds }: StartOptions): Promise<ShiftPolicy> {
  if (path !== undefined) {
    if (steps !== undefined || stepSeconds !== undefined) {
      throw new AppError('request.invalid', 'a policy says its steps: give --policy, or --steps and --step-seconds');
    }
    return readShiftFile(await readYamlInput(io, path), path === '-' ? 'standard input' : path);
  }
  const bakeSeconds = stepSeconds === undefined ? undefined : parseCount(stepSeconds, maxStepSeconds);
  const percents =
    steps === undefined ? shiftPolicySchema.parse({}).steps.map(({ percent }) => percent) : parseSteps(steps);
  const policy = shiftPolicySchema.parse({ steps: percents.map((percent) => ({ percent, bakeSeconds })) });
  checkShiftPolicy(policy);
  return policy;
}

function parseSteps(text: string): number[] {
  const percents = text.split(',').map((part) => (/^\d{1,3}$/.test(part) ? Number(part) : 0));
  if (percents.every((percent) => percent >= 1 && percent <= 100)) return percents;
  throw new AppError(
    'request.invalid',
    `--steps ${text.slice(0, 80)}: write whole percent that rise to 100, as in 5,25,50,100`,
  );
}
