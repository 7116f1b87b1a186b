/** What the command line of the scoring benchmark asks for. Pure. */
import { parseArgs } from 'node:util';

export const modelNames = ['mlp', 'digits', 'mobilenet', 'silero'] as const;
export type ModelName = (typeof modelNames)[number];
export const peerNames = ['azureml', 'mlserver', 'litserve', 'bentoml'] as const;
export type PeerName = (typeof peerNames)[number];
export const serverNames = ['bare', 'fixed', 'ours', ...peerNames] as const;
export type ServerName = (typeof serverNames)[number];

export interface BenchOptions {
  readonly models: readonly ModelName[];
  readonly servers: readonly ServerName[];
  readonly concurrency: readonly number[];
  readonly rounds: number;
  /** For all rounds together; starting servers comes on top. */
  readonly budgetSeconds: number;
  readonly json: boolean;
  readonly help: boolean;
  /** Folder for V8 CPU profiles of our host. */
  readonly profile: string | undefined;
}

export const usage = `npm run bench:scoring -- [options]
  --quick               a minute or two instead of ten: shorter rounds
  --only mlp,ours,bare  some of the models (${modelNames.join(', ')})
                        and some of the servers (${serverNames.join(', ')})
  --concurrency 1,8,64  connections
  --minutes 7           for all rounds together
  --rounds 3            of each measurement, interleaved
  --output json         the figures as one JSON document on standard output
  --profile FOLDER      V8 CPU profiles of our host's threads into this folder; its figures are then slower
  --help                this text
Example: npm run bench:scoring -- --only digits,ours,bare --concurrency 1,64 --minutes 3`;

/** @throws Error that says which value is wrong */
export function parseOptions(args: readonly string[]): BenchOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      quick: { type: 'boolean', default: false },
      only: { type: 'string', multiple: true, default: [] },
      concurrency: { type: 'string' },
      minutes: { type: 'string' },
      rounds: { type: 'string' },
      output: { type: 'string' },
      profile: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  const only = values.only.flatMap(listOf);
  const known: readonly string[] = [...modelNames, ...serverNames];
  const unknown = only.filter((name) => !known.includes(name));
  if (unknown.length > 0) throw new Error(`--only knows no ${unknown.join(', ')}; it knows ${known.join(', ')}`);
  if (values.output !== undefined && values.output !== 'json' && values.output !== 'table') {
    throw new Error(`--output is table or json, not ${values.output}`);
  }
  const models = modelNames.filter((name) => only.includes(name));
  const servers = serverNames.filter((name) => only.includes(name));
  return {
    models: models.length > 0 ? models : modelNames,
    servers: servers.length > 0 ? servers : serverNames,
    concurrency: values.concurrency === undefined ? [1, 8, 64] : numbersOf('--concurrency', values.concurrency),
    rounds: values.rounds === undefined ? 3 : numberOf('--rounds', values.rounds),
    budgetSeconds: (values.minutes === undefined ? (values.quick ? 1 : 7) : numberOf('--minutes', values.minutes)) * 60,
    json: values.output === 'json',
    profile: values.profile,
    help: values.help,
  };
}

function listOf(text: string): string[] {
  return text.split(',').filter((part) => part !== '');
}

function numbersOf(flag: string, text: string): number[] {
  return listOf(text).map((part) => numberOf(flag, part));
}

function numberOf(flag: string, text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new Error(`${flag} needs numbers above 0, got "${text}"`);
  return value;
}
