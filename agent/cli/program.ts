/** The commands of `flotilla-agent`, each with its example; errors end with the exit code of their kind. */
import { readFileSync } from 'node:fs';
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { stringify as toYaml } from 'yaml';
import { AppError, messageOf } from '#shared/kernel/errors.js';
import { redact } from '#shared/kernel/redaction.js';
import { systemClock } from '#shared/kernel/clock.js';
import { nearest } from '#shared/kernel/names.js';
import { onShutdown } from '#shared/platform/signals.js';
import { tagsSchema } from '#shared/protocol/primitives.js';
import { describeIssues } from '#shared/protocol/decode.js';
import { type AgentConfig, fileFormOf } from '#agent/config.js';
import { configOf, example, flag, type GlobalOptions, print } from '#agent/cli/command-parts.js';
import { addDiagnosis } from '#agent/cli/diagnosis.js';
import { addKeys, keysCommands } from '#agent/cli/keys.js';
import { addProviders, providerCommands } from '#agent/cli/providers.js';
import { readCapabilities } from '#agent/identity/capabilities.js';
import { addInstallation, startCommand } from '#agent/cli/installation.js';
import { addDefer, addRollback } from '#agent/cli/module-control.js';
import { enrol } from '#agent/identity/enrol.js';
import { readHardwareId } from '#agent/identity/hardware-id.js';
import { explainText, statusText } from '#agent/cli/texts.js';
import { askAgent } from '#agent/local/local-client.js';
import type { ExplanationView, StatusView } from '#agent/local/explanation.js';
import { startEarly } from '#agent/early-start.js';
import type { RunningAgent } from '#agent/main.js';
import { localSocketOf } from '#agent/local/local-socket.js';
import { stateFolder } from '#agent/store/state-folder.js';
import { agentVersion } from '#agent/version.js';

/** @returns the exit code; `run` goes on after it has returned */
export async function runCli(argv: readonly string[]): Promise<number> {
  const program = createProgram();
  try {
    await program.parseAsync([...argv]);
    return 0;
  } catch (error) {
    const asJson = program.opts<GlobalOptions>().output === 'json';
    return reportFailure(error, asJson);
  }
}

function createProgram(): Command {
  const program = new Command('flotilla-agent')
    .description('Runs modules on this device, as the control plane asks.')
    .version(agentVersion)
    .option(
      '--state-dir <folder>',
      'where everything that must survive lies (default: /var/lib/flotilla-agent as root)',
    )
    .option('--config <file>', 'settings file, YAML (default: none, or FLOTILLA_AGENT_CONFIG)')
    .addOption(new Option('--output <form>', 'form of the answer').choices(['text', 'json']).default('text'))
    .exitOverride()
    .configureOutput({ outputError: () => undefined })
    .showSuggestionAfterError(false);
  example(program, 'flotilla-agent status --output json');
  // Options of the whole program may stand behind a command, where people type them.
  const adds = [
    addEnroll,
    addRun,
    addStatus,
    addExplain,
    addLogs,
    addDiagnosis,
    addRollback,
    addDefer,
    addKeys,
    addProviders,
    addInstallation,
  ];
  for (const command of adds.flatMap((add) => add(program))) {
    for (const one of [command, ...command.commands])
      one.exitOverride().configureOutput({ outputError: () => undefined });
  }
  return program;
}

interface EnrollOptions {
  readonly token: string;
  readonly name?: string;
  readonly url?: string;
  readonly tag: Record<string, string>;
  readonly hardwareId?: string;
  readonly wait: boolean;
  readonly replace: boolean;
}

function addEnroll(program: Command): Command {
  const command = program
    .command('enroll')
    .alias('enrol')
    .description('Makes this machine a device of a control plane, by a one-time token or a fleet claim.')
    .requiredOption(
      '--token <token>',
      'from "flotilla device token", "… replace" or "… claim create"; "-" reads it from standard input',
    )
    .option('--name <name>', 'the device\'s name: a-z, 0-9 and "-" (default: the fleet claim names it)')
    .option('--url <url>', 'address of the device gateway, where it is not the one in the token')
    .option('--tag <key=value>', 'a tag of the device that the token allows; may be repeated', collectTag, {})
    .option('--hardware-id <id>', 'what the fleet claim knows this machine by (default: /etc/machine-id)')
    .option('--no-wait', 'fail instead of waiting until somebody has approved this device')
    .option('--replace', 'give up the identity that this machine has', false)
    .action(async (options: EnrollOptions) => {
      const global = program.opts<GlobalOptions>();
      const config = configOf(global, {});
      const tags = tagsSchema.safeParse(options.tag);
      if (!tags.success) throw new AppError('request.invalid', `--tag ${describeIssues(tags.error)}`);
      const onWaiting = (what: string, seconds: number): void =>
        void process.stderr.write(`waiting: ${what} (asking again in ${String(seconds)} s)\n`);
      const identity = await enrol(
        {
          folder: stateFolder(config.stateDir),
          token: options.token === '-' ? readFileSync(0, 'utf8') : options.token,
          ...(options.url === undefined ? {} : { url: options.url }),
          device: options.name,
          hardwareId: options.hardwareId ?? (await readHardwareId()),
          tags: tags.data,
          capabilities: readCapabilities(undefined, undefined, config.timeZone),
          replace: options.replace,
          proxy: config.link.proxy,
          ...(options.wait ? { onWaiting } : {}),
        },
        systemClock,
      );
      const { workspace, device } = identity;
      print(global, { workspace, device, broker: identity.broker.url, stateDir: config.stateDir }, () => [
        `Enrolled as ${workspace}/${device}; the identity is in ${config.stateDir}.`,
        `Next: ${startCommand(global)}`,
      ]);
    });
  return example(command, 'flotilla-agent enroll --token flotilla-enrol-1.… --name cam-1');
}

function addRun(program: Command): Command {
  const command = program
    .command('run')
    .description('Runs the agent until it is told to stop (SIGTERM, Ctrl-C).')
    .option('--scoring-address <ip>', 'address of the local scoring port (default: 127.0.0.1)')
    .option('--scoring-port <port>', 'local scoring port; 0 picks a free one (default: 8800)')
    .addOption(
      new Option(
        '--scoring-access <who>',
        'open: whoever reaches the port; keys: who has one (default: open on loopback, else keys)',
      ).choices(['open', 'keys']),
    )
    .option('--grpc-port <port>', 'local port for scoring over gRPC; 0 picks a free one (default: no gRPC)')
    .option('--telemetry-interval <seconds>', 'how often to collect telemetry (default: 10)')
    .option('--log-level <level>', 'trace, debug, info, warn, error, fatal or silent (default: info)')
    .option('--print-config', 'show the settings in force, and end', false)
    .action(
      async (options: {
        scoringAddress?: string;
        scoringPort?: string;
        scoringAccess?: string;
        grpcPort?: string;
        telemetryInterval?: string;
        logLevel?: string;
        printConfig: boolean;
      }) => {
        const global = program.opts<GlobalOptions>();
        const config = configOf(global, {
          ...flag('scoring.address', options.scoringAddress),
          ...flag('scoring.port', options.scoringPort),
          ...flag('scoring.access', options.scoringAccess),
          ...flag('grpc.port', options.grpcPort),
          ...flag('telemetry.intervalSeconds', options.telemetryInterval),
          ...flag('log.level', options.logLevel),
        });
        if (options.printConfig) {
          const form = fileFormOf(config);
          print(global, form, () => [toYaml(form).trimEnd()]);
          return;
        }
        const starting = start(config);
        // From now on: who is told to stop while it starts ends in order all the same, once it has.
        onShutdown(() =>
          starting.then(
            (started) => started.stop(),
            () => undefined,
          ),
        );
        const agent = await starting;
        // For whoever started it and waits: the one line that says that it runs, and where.
        print(global, { scoring: agent.scoring, grpc: agent.grpc, pid: process.pid }, () => [
          `Scoring on http://${agent.scoring.address}:${String(agent.scoring.port)}`,
          ...(agent.grpc === undefined ? [] : [`gRPC on ${agent.grpc.address}:${String(agent.grpc.port)}`]),
        ]);
      },
    );
  return example(command, 'flotilla-agent run --scoring-port 8801');
}

async function start(config: AgentConfig): Promise<RunningAgent> {
  const early = await startEarly(config);
  // Loaded while the host that serves loads.
  const { startAgent } = await import('#agent/main.js');
  return startAgent(config, { clock: systemClock, random: Math.random, pretty: process.stderr.isTTY }, early);
}

function addStatus(program: Command): Command {
  const command = program
    .command('status')
    .description('What the agent runs and whether it reaches the control plane.')
    .action(async () => {
      const status = (await ask(program, '/status')) as StatusView;
      print(program.opts<GlobalOptions>(), status, () => statusText(status));
    });
  return example(command, 'flotilla-agent status');
}

function addExplain(program: Command): Command {
  const command = program
    .command('explain')
    .description('Why the device does what it does: desired, observed, what it waits for, what it refused.')
    .action(async () => {
      const explanation = (await ask(program, '/explain')) as ExplanationView;
      print(program.opts<GlobalOptions>(), explanation, () => explainText(explanation));
    });
  return example(command, 'flotilla-agent explain');
}

function addLogs(program: Command): Command {
  const command = program
    .command('logs')
    .description('The last lines of the agent, or of one module.')
    .argument('[module]', 'of which module; without it, of the agent')
    .option(
      '-n, --lines <count>',
      'how many lines',
      (text) => {
        if (!/^[1-9]\d{0,3}$/.test(text)) throw new InvalidArgumentError('a number from 1 to 9999');
        return Number(text);
      },
      100,
    )
    .action(async (module: string | undefined, options: { lines: number }) => {
      const query = new URLSearchParams({ lines: String(options.lines), ...(module === undefined ? {} : { module }) });
      const answer = (await ask(program, `/logs?${query.toString()}`)) as { lines: string[] };
      print(program.opts<GlobalOptions>(), answer, () => answer.lines);
    });
  return example(command, 'flotilla-agent logs digits -n 20');
}

async function ask(program: Command, path: string): Promise<unknown> {
  const config = configOf(program.opts<GlobalOptions>(), {});
  return askAgent(localSocketOf(config), path);
}

function collectTag(text: string, tags: Record<string, string>): Record<string, string> {
  const at = text.indexOf('=');
  if (at < 1) throw new InvalidArgumentError('a tag looks like key=value');
  return { ...tags, [text.slice(0, at)]: text.slice(at + 1) };
}

function reportFailure(error: unknown, asJson: boolean): number {
  if (error instanceof CommanderError) {
    // Help and version were asked for.
    if (error.exitCode === 0) return 0;
    return reportFailure(new AppError('request.invalid', usageMessage(error)), asJson);
  }
  if (!(error instanceof AppError)) {
    process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : messageOf(error)}\n`);
    return 70;
  }
  const { code, details } = error;
  // A secret that was put in the wrong argument must not reach the log of whatever runs this.
  const message = redact(error.message);
  process.stderr.write(asJson ? `${JSON.stringify({ code, message, details })}\n` : `error: ${message} [${code}]\n`);
  return error.traits.exit;
}

/** Commander's words, with the nearest command or option where something unknown was typed. */
function usageMessage(error: CommanderError): string {
  const message = error.message.replace(/^error: /, '');
  const typed = /unknown (?:command|option) '([^']+)'/.exec(message)?.[1];
  if (error.code === 'commander.help')
    return 'give a command: enroll, run, status, explain, check, logs, bundle, rollback, defer, keys, providers, install or uninstall; --help tells more';
  if (typed === undefined) return message;
  const known = [...knownCommands, ...knownOptions];
  const suggestion = nearest(typed, known);
  return suggestion === undefined
    ? `${message}; --help lists what there is`
    : `${message}, did you mean ${suggestion}?`;
}

const knownCommands = [
  'enroll',
  'run',
  'status',
  'explain',
  'check',
  'logs',
  'rollback',
  'defer',
  'bundle',
  'keys',
  'providers',
  'install',
  'uninstall',
  ...keysCommands,
  ...providerCommands,
];

const knownOptions = [
  '--state-dir',
  '--config',
  '--output',
  '--token',
  '--name',
  '--url',
  '--tag',
  '--hardware-id',
  '--no-wait',
  '--replace',
  '--scoring-address',
  '--scoring-port',
  '--scoring-access',
  '--grpc-port',
  '--telemetry-interval',
  '--log-level',
  '--print-config',
  '--lines',
  '--for',
  '--reason',
  '--from',
  '--to',
  '--sha256',
  '--built-for',
  '--timeout',
  '--root',
  '--print',
  '--purge',
];
