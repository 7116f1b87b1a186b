/** The command tree. A new command is a file in commands/ and a line here. */
import { Command, Option } from 'commander';
import type { CliIo } from './cli-io.js';
import { activityCommand } from './commands/activity.js';
import { alertCommand } from './commands/alert.js';
import { applyCommand } from './commands/apply.js';
import { auditCommand } from './commands/audit.js';
import { cloudCommand } from './commands/cloud.js';
import { commandCommand } from './commands/command.js';
import { contextCommand } from './commands/context.js';
import { deployCommand } from './commands/deploy.js';
import { deviceCommand } from './commands/device.js';
import { eventsCommand } from './commands/events.js';
import { fleetCommand } from './commands/fleet.js';
import { imageCommand } from './commands/image.js';
import { keysCommand } from './commands/keys.js';
import { loginCommand } from './commands/login.js';
import { logsCommand } from './commands/logs.js';
import { modelCommand } from './commands/model.js';
import { moduleCommand } from './commands/module.js';
import { releaseCommand } from './commands/release.js';
import { rolloutCommand } from './commands/rollout.js';
import { scoreCommand } from './commands/score.js';
import { serveCommand } from './commands/serve.js';
import { telemetryCommand } from './commands/telemetry.js';
import { tokenCommand } from './commands/token.js';
import { trustCommand } from './commands/trust.js';
import { undeployCommand } from './commands/undeploy.js';
import { workspaceCommand } from './commands/workspace.js';
import { withExamples } from './help.js';

export function buildProgram(io: CliIo): Command {
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
  for (const command of [
    cloudCommand(io),
    serveCommand(io),
    loginCommand(io),
    contextCommand(io),
    tokenCommand(io),
    auditCommand(io),
    workspaceCommand(io),
    modelCommand(io),
    moduleCommand(io),
    keysCommand(io),
    trustCommand(io),
    imageCommand(io),
    deviceCommand(io),
    fleetCommand(io),
    commandCommand(io),
    releaseCommand(io),
    rolloutCommand(io),
    applyCommand(io),
    deployCommand(io),
    undeployCommand(io),
    scoreCommand(io),
    logsCommand(io),
    telemetryCommand(io),
    alertCommand(io),
    activityCommand(io),
    eventsCommand(io),
  ]) {
    program.addCommand(command);
  }
  return withExamples(
    program,
    'flotilla login https://127.0.0.1:8080 --authority <sha256> --token <token>',
    'flotilla model register model.onnx --name digits',
    'flotilla deploy digits:1 --device cam-1',
  );
}
