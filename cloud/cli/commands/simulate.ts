/** `flotilla simulate`: many devices that are none, to try rollouts on. */
import { resolve } from 'node:path';
import { Command } from 'commander';
import { AppError } from '#shared/kernel/errors.js';
import { parseEnrolmentToken } from '#shared/protocol/enrolment.js';
import type { SimulationOrder, SimulationProfile } from '#shared/protocol/simulation.js';
import { routes } from '#cloud/client/routes.js';
import { collect, parseCount, parseDurationMs, parseTags } from '../argument-parsers.js';
import type { CliIo } from '../cli-io.js';
import { composeToken } from '../composed-token.js';
import { withExamples } from '../help.js';
import { type Session, withSession } from '../session.js';
import { profileNames, readProfile } from '../simulation-profile.js';
import { describeSimulation, describeSimulationEnd } from '../simulation-text.js';

interface SimulateOptions {
  readonly devices: string;
  readonly profile: string;
  readonly seed: string;
  readonly prefix: string;
  readonly tag: readonly string[];
  readonly state?: string;
  readonly token?: string;
  readonly for?: string;
  readonly log?: string;
  readonly processes?: string;
  readonly telemetry?: string;
  readonly connectPerSecond: string;
  readonly enrolAtOnce: string;
}

const leavesOut = `What it leaves out: no model runs and no script, so no golden vectors, scoring port, sandbox, routes, shadows, samples
or support bundles; what a device remembers ends with the process, but for its identity with --state; its certificate is
not renewed. What is real: TLS and MQTT, enrolment, the director's and publishers' signatures, signatures and manifests
of images fetched over the broker, the reconciler, actions, reports, the telemetry's form, and direct commands.`;

export function simulateCommand(io: CliIo): Command {
  const command = new Command('simulate')
    .description('Be many devices at once: real connections and the agent’s own reconciler over pretended hosts.')
    .requiredOption('--devices <count>', 'how many')
    .option('--profile <name>', `${profileNames.join(', ')}, or a YAML file; - for standard input`, 'steady')
    .option('--seed <n>', 'the same seed gives the same fleet', '1')
    .option('--prefix <name>', 'devices are named by it and a number', 'sim')
    .option('--tag <k=v>', 'a tag of every device, beside simulated=yes and behaviour=…; several times', collect, [])
    .option('--state <folder>', 'keep identities here, and use those that are here')
    .option('--token <token>', 'enrol by this token of a fleet claim, instead of one made for this')
    .option('--for <duration>', 'end after this time; else by Ctrl-C')
    .option('--telemetry <duration>', 'send a batch so often, in place of what the profile says; 0s: none')
    .option('--log <folder>', 'write what each device did, a JSON value a line')
    .option('--processes <count>', 'share the devices among so many processes')
    .option('--connect-per-second <count>', 'new connections a second', '200')
    .option('--enrol-at-once <count>', 'enrolments under way in each process', '8')
    .addHelpText('after', `\n${leavesOut}`)
    .action(async (options: SimulateOptions) => {
      const count = parseCount(options.devices, 100_000);
      const profile = withTelemetry(await readProfile(io, options.profile), options.telemetry);
      const tags = parseTags(options.tag);
      const forMs = options.for === undefined ? undefined : parseDurationMs(options.for);
      const seed = parseSeed(options.seed);
      const processes = options.processes === undefined ? processesFor(count) : parseCount(options.processes, 64);
      await withSession(io, command, async (session) => {
        const granted = await tokenFor(session, options.token, count, tags);
        const orders = Array.from(
          { length: Math.min(processes, count) },
          (_, index): SimulationOrder => ({
            ...{ token: granted.token, workspace: granted.workspace, prefix: parsePrefix(options.prefix) },
            ...{ first: index, step: Math.min(processes, count), end: count, process: index, seed, profile, tags },
            ...(options.token === undefined ? { behaviourTag } : {}),
            ...(options.state === undefined ? {} : { state: resolve(options.state) }),
            ...(options.log === undefined ? {} : { log: resolve(options.log, `devices-${String(index)}.jsonl`) }),
            enrolAtOnce: parseCount(options.enrolAtOnce, 64),
            connectPerSecond: Math.max(1, parseCount(options.connectPerSecond, 100_000) / processes),
          }),
        );
        try {
          await simulate(session, orders, forMs);
        } finally {
          await granted.end();
        }
      });
    });
  return withExamples(
    command,
    'flotilla simulate --devices 100',
    'flotilla simulate --devices 1000 --profile mixed --seed 7 --state ./simulated --for 30m',
    'flotilla simulate --devices 10000 --profile ./factory.yaml --processes 4 --telemetry 60s --output json',
  );
}

const behaviourTag = 'behaviour';
const devicesAProcess = 2_500;

function processesFor(count: number): number {
  return Math.min(16, Math.ceil(count / devicesAProcess));
}

async function simulate(
  { io, out, progress }: Session,
  orders: readonly SimulationOrder[],
  forMs: number | undefined,
): Promise<void> {
  const startedAt = io.clock.monotonic();
  const ending = forMs === undefined ? undefined : new AbortController();
  const signal = ending === undefined ? io.signal : AbortSignal.any([io.signal, ending.signal]);
  const waiting = ending && io.clock.sleep(forMs ?? 0, io.signal).then(() => ending.abort());
  const counts = await io.runSimulation(
    orders,
    {
      onCounts: (now) => progress.update(describeSimulation(now)),
      onNote: (text) => progress.line(text),
    },
    signal,
  );
  progress.clear();
  await waiting;
  const seconds = (io.clock.monotonic() - startedAt) / 1000;
  out.result({ ...counts, seconds }, () => describeSimulationEnd(counts, seconds));
}

interface GrantedToken {
  readonly token: string;
  readonly workspace: string;
  end(): Promise<void>;
}

/** A fleet claim for these devices alone, which ends with them; or the token that was given. */
async function tokenFor(
  { io, client, out }: Session,
  given: string | undefined,
  count: number,
  tags: Readonly<Record<string, string>>,
): Promise<GrantedToken> {
  if (given !== undefined) {
    const token = parseEnrolmentToken(given);
    if (!token.ok) throw new AppError('enrolment.token-invalid', `--token is no enrolment token: ${token.error}`);
    return { token: given, workspace: token.value.workspace, end: () => Promise.resolve() };
  }
  const name = `simulate-${io.clock.now().toString(36)}-${Math.floor(io.random() * 36 ** 4).toString(36)}`;
  const body = {
    ...{ name, maxDevices: count, ttlSeconds: 86_400, ratePerSecond: 1000 },
    ...{ tags: { simulated: 'yes' }, allowTags: [behaviourTag, ...Object.keys(tags)] },
  };
  const { expiresAt: _unused, ...server } = await client.call(routes.claimCreate, { body });
  const { token } = await composeToken(io, server, [], (note) => out.note(note));
  return {
    token,
    workspace: server.workspace,
    end: async () => {
      // Asked to end, or the server gone: then it ends by its time.
      await client.call(routes.claimRevoke, { params: { claim: name } }).catch(() => undefined);
    },
  };
}

function withTelemetry(profile: SimulationProfile, interval: string | undefined): SimulationProfile {
  if (interval === undefined) return profile;
  const intervalSeconds = Math.min(86_400, parseDurationMs(interval) / 1000);
  return { ...profile, telemetry: { ...profile.telemetry, intervalSeconds } };
}

function parseSeed(text: string): number {
  const seed = Number(text);
  if (/^\d{1,15}$/.test(text)) return seed;
  throw new AppError('request.invalid', `--seed ${text} is no seed; write a whole number from 0 on`);
}

function parsePrefix(text: string): string {
  if (/^[a-z0-9][a-z0-9-]{0,40}$/.test(text)) return text;
  throw new AppError(
    'request.invalid',
    `--prefix ${text}: use up to 41 of a-z, 0-9 and "-", starting with a letter or digit`,
  );
}
