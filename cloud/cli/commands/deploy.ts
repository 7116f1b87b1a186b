/** `flotilla deploy`: changes what a device should run, and waits until it does or says why not. */
import { Command, Option } from 'commander';
import { formatReference } from '#shared/kernel/names.js';
import type { RestartPolicy } from '#shared/protocol/desired.js';
import type { JsonSettings } from '../deploy-settings.js';
import { readSettings } from '../deploy-settings.js';
import { routes } from '#cloud/client/routes.js';
import { collect, parseDurationMs, parseImageReference, parseName } from '../argument-parsers.js';
import type { CliIo } from '../cli-io.js';
import { followDeployment } from '../deploy-follow.js';
import { withExamples } from '../help.js';
import { type Session, withSession } from '../session.js';

interface DeployOptions {
  readonly device: string;
  readonly as?: string;
  readonly set: readonly string[];
  readonly restart: RestartPolicy['restart'];
  readonly wait: boolean;
  readonly timeout: string;
}

export function deployCommand(io: CliIo): Command {
  const command = new Command('deploy')
    .description('Deploy an image to a device, and wait until the device runs it. Ctrl-C leaves it going.')
    .argument('<image>', 'name:version or digest')
    .requiredOption('--device <name>', 'the device')
    .option('--as <module>', "the module's name on the device (default: the image's)")
    .option('--set <key=json>', 'a setting of the module; several times', collect, [])
    .addOption(
      new Option('--restart <policy>', 'when its process is started again after it ended')
        .choices(['always', 'on-failure', 'never'])
        .default('always'),
    )
    .option('--no-wait', 'do not wait for the device')
    .option('--timeout <duration>', 'how long to wait', '10m')
    .action(async (text: string, options: DeployOptions) => {
      const reference = parseImageReference(text);
      const device = parseName(options.device, 'device');
      const as = options.as === undefined ? undefined : parseName(options.as, 'module');
      const settings = readSettings(options.set);
      const timeoutMs = parseDurationMs(options.timeout);
      await withSession(io, command, (session) =>
        deploy(session, { reference, device, as, settings, restart: options.restart, wait: options.wait, timeoutMs }),
      );
    });
  return withExamples(
    command,
    'flotilla deploy digits:1 --device cam-1',
    'flotilla deploy gate:3 --device cam-1 --as gate-north --set threshold=0.8 --set label=\'"north"\'',
  );
}

interface Deployment {
  readonly reference: string;
  readonly device: string;
  readonly as: string | undefined;
  readonly settings: JsonSettings;
  readonly restart: RestartPolicy['restart'];
  readonly wait: boolean;
  readonly timeoutMs: number;
}

async function deploy(session: Session, deployment: Deployment): Promise<void> {
  const { client, out, progress } = session;
  const { device, settings, restart } = deployment;
  const image = await client.call(routes.imageGet, { params: { reference: deployment.reference } });
  const before = await client.call(routes.deviceGet, { params: { device } });
  const module = deployment.as ?? image.name;
  // By digest: what was looked up is what is deployed.
  const { generation } = await client.call(routes.modulePut, {
    params: { device, module },
    body: { image: image.digest, settings, policy: { restart } },
  });
  const answer = { device, module, image: formatReference(image), digest: image.digest, generation };
  if (!deployment.wait) {
    out.result(
      { ...answer, done: false },
      () => `${answer.image} is desired on ${device} (generation ${String(generation)})`,
    );
    return;
  }
  progress.line(`${answer.image} as ${module} on ${device}, generation ${String(generation)}`);
  const target = { generation, module, digest: image.digest, refusedBeforeAt: before.reported.refused?.at };
  const text = await followDeployment(session, device, target, deployment.timeoutMs);
  out.result({ ...answer, done: true }, () => text);
}
