/** `flotilla undeploy`: a module is to be gone from a device. */
import { Command } from 'commander';
import { routes } from '#cloud/client/routes.js';
import { parseDurationMs, parseName } from '../argument-parsers.js';
import type { CliIo } from '../cli-io.js';
import { followDeployment } from '../deploy-follow.js';
import { withExamples } from '../help.js';
import { withSession } from '../session.js';

export function undeployCommand(io: CliIo): Command {
  const command = new Command('undeploy')
    .description('Take a module off a device, and wait until it is gone. Ctrl-C leaves it going.')
    .argument('<module>')
    .requiredOption('--device <name>', 'the device')
    .option('--shadow', 'end its shadow, and leave the module', false)
    .option('--no-wait', 'do not wait for the device')
    .option('--timeout <duration>', 'how long to wait', '10m')
    .action(async (text: string, options: { device: string; shadow: boolean; wait: boolean; timeout: string }) => {
      const module = parseName(text, 'module');
      const device = parseName(options.device, 'device');
      const timeoutMs = parseDurationMs(options.timeout);
      await withSession(io, command, async (session) => {
        const { client, out } = session;
        if (options.shadow) {
          const { generation } = await client.call(routes.shadowDelete, { params: { device, module } });
          const said = `${module} of ${device} is to have no shadow any more (generation ${String(generation)})`;
          out.result({ device, module, generation, shadow: true }, () => said);
          return;
        }
        const before = await client.call(routes.deviceGet, { params: { device } });
        const { generation } = await client.call(routes.moduleDelete, { params: { device, module } });
        const answer = { device, module, generation };
        if (!options.wait) {
          out.result(
            { ...answer, done: false },
            () => `${module} is to go from ${device} (generation ${String(generation)})`,
          );
          return;
        }
        const target = { generation, module, digest: undefined, refusedBeforeAt: before.reported.refused?.at };
        const { done, text } = await followDeployment(session, device, [target], timeoutMs);
        out.result({ ...answer, done }, () => text);
      });
    });
  return withExamples(
    command,
    'flotilla undeploy digits --device cam-1',
    'flotilla undeploy digits --device cam-1 --shadow',
  );
}
