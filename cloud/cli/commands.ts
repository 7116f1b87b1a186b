/** The command tree. A new command is a file in commands/ and a line here. */
import { Command, Option } from 'commander';
import type { CliIo } from './cli-io.js';
import { withExamples } from './help.js';

/** Loaded one by one: a command line needs one of them, and all together take longer than most commands do. */
const commands: Readonly<Record<string, () => Promise<(io: CliIo) => Command>>> = {
  cloud: async () => (await import('./commands/cloud.js')).cloudCommand,
  serve: async () => (await import('./commands/serve.js')).serveCommand,
  login: async () => (await import('./commands/login.js')).loginCommand,
  context: async () => (await import('./commands/context.js')).contextCommand,
  token: async () => (await import('./commands/token.js')).tokenCommand,
  audit: async () => (await import('./commands/audit.js')).auditCommand,
  workspace: async () => (await import('./commands/workspace.js')).workspaceCommand,
  model: async () => (await import('./commands/model.js')).modelCommand,
  module: async () => (await import('./commands/module.js')).moduleCommand,
  keys: async () => (await import('./commands/keys.js')).keysCommand,
  trust: async () => (await import('./commands/trust.js')).trustCommand,
  image: async () => (await import('./commands/image.js')).imageCommand,
  device: async () => (await import('./commands/device.js')).deviceCommand,
  fleet: async () => (await import('./commands/fleet.js')).fleetCommand,
  schedule: async () => (await import('./commands/schedule.js')).scheduleCommand,
  command: async () => (await import('./commands/command.js')).commandCommand,
  release: async () => (await import('./commands/release.js')).releaseCommand,
  layer: async () => (await import('./commands/layer.js')).layerCommand,
  rollout: async () => (await import('./commands/rollout.js')).rolloutCommand,
  freeze: async () => (await import('./commands/freeze.js')).freezeCommand,
  apply: async () => (await import('./commands/apply.js')).applyCommand,
  diff: async () => (await import('./commands/diff.js')).diffCommand,
  endpoint: async () => (await import('./commands/endpoint.js')).endpointCommand,
  deployment: async () => (await import('./commands/deployment.js')).deploymentCommand,
  data: async () => (await import('./commands/data.js')).dataCommand,
  deploy: async () => (await import('./commands/deploy.js')).deployCommand,
  undeploy: async () => (await import('./commands/undeploy.js')).undeployCommand,
  score: async () => (await import('./commands/score.js')).scoreCommand,
  logs: async () => (await import('./commands/logs.js')).logsCommand,
  telemetry: async () => (await import('./commands/telemetry.js')).telemetryCommand,
  compare: async () => (await import('./commands/compare.js')).compareCommand,
  alert: async () => (await import('./commands/alert.js')).alertCommand,
  simulate: async () => (await import('./commands/simulate.js')).simulateCommand,
  activity: async () => (await import('./commands/activity.js')).activityCommand,
  events: async () => (await import('./commands/events.js')).eventsCommand,
};

/** @param first what the command line begins with; where that is a command, the tree holds no other */
export async function buildProgram(io: CliIo, first?: string): Promise<Command> {
  const only = first !== undefined && Object.hasOwn(commands, first) ? commands[first] : undefined;
  const program = new Command('flotilla')
    .description('From a model registry to predictions on a fleet of devices, safely.')
    .version(io.version, '--version', 'print the version')
    .helpOption('-h, --help', 'show help')
    .addOption(
      new Option('--output <format>', 'json: one JSON value on standard output, all else on standard error')
        .choices(['text', 'json'])
        .default('text'),
    )
    .option('--workspace <name>', 'work in this workspace (or FLOTILLA_WORKSPACE)')
    .option('--context <name>', 'talk to the control plane of this login (or FLOTILLA_URL and FLOTILLA_TOKEN)');
  const made = only === undefined ? Object.values(commands) : [only];
  for (const load of made) program.addCommand((await load())(io));
  return withExamples(
    program,
    'flotilla login https://127.0.0.1:8080 --authority <sha256> --token <token>',
    'flotilla model register model.onnx --name digits',
    'flotilla deploy digits:1 --device cam-1',
  );
}
