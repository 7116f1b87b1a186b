/** `flotilla deploy`: changes what a device should run, and waits until it does or says why not. */
import { Command, Option } from 'commander';
import { AppError } from '#shared/kernel/errors.js';
import { formatReference } from '#shared/kernel/names.js';
import type { RouteOverrides } from '#shared/protocol/route.js';
import { readRoutes } from '../deploy-routes.js';
import type { RestartPolicy } from '#shared/protocol/desired.js';
import { type JsonSettings, readSettings, readUpdate, type UpdateFlags, type UpdateInput } from '../deploy-settings.js';
import { routes } from '#cloud/client/routes.js';
import {
  collect,
  parseDurationMs,
  parseImageReference,
  parseName,
  parseReleaseReference,
} from '../argument-parsers.js';
import type { CliIo } from '../cli-io.js';
import { followDeployment } from '../deploy-follow.js';
import { failedAttempts } from '../deploy-verdict.js';
import { deployShadow, readShadowRule, refuseBesideShadow, type ShadowFlags } from '../deploy-shadow.js';
import { deployRelease, refuseModuleFlags, type ReleaseOrder } from '../deploy-release.js';
import { withExamples } from '../help.js';
import { type Session, withSession } from '../session.js';

interface DeployOptions extends UpdateFlags, ShadowFlags {
  readonly release?: string;
  readonly dryRun: boolean;
  readonly device: string;
  readonly as?: string;
  readonly set: readonly string[];
  readonly route: readonly string[];
  readonly routes?: string;
  readonly restart: RestartPolicy['restart'];
  readonly atomic: boolean;
  readonly wait: boolean;
  readonly timeout: string;
}

export function deployCommand(io: CliIo): Command {
  const command = new Command('deploy')
    .description(
      'Deploy images, or a release, to a device, and wait until the device runs them. Ctrl-C leaves it going.',
    )
    .argument('[image...]', 'name:version or digest; several become one change')
    .option('--release <name:version>', 'the device runs the modules of this release, and no others')
    .option('--dry-run', 'with --release: say what would change, and change nothing', false)
    .requiredOption('--device <name>', 'the device')
    .option('--as <module>', "the module's name on the device (default: the image's)")
    .option('--set <key=json>', 'a setting of the module; several times', collect, [])
    .option(
      '--route <name=yaml>',
      'a route in the place of the one of that name; off: none; several times',
      collect,
      [],
    )
    .option('--routes <file>', 'a YAML file of such routes by name')
    .addOption(
      new Option('--restart <policy>', 'when its process is started again after it ended')
        .choices(['always', 'on-failure', 'never'])
        .default('always'),
    )
    .option(
      '--probation <duration>',
      'how long the new version is watched, with the one before ready to take over again; 0: not at all (default: 10s)',
    )
    .option('--watch <bound=value>', 'a bound of the probation, such as maxErrorRate=0.01; several times', collect, [])
    .option('--atomic', 'all images take over together, or none of them does', false)
    .option(
      '--keep <count>',
      'versions before this one that stay on the device, for a return without network (default: 2)',
    )
    .option('--defer-at-most <duration>', 'how long the module may put its replacement off (default: 1h)')
    .option(
      '--window <window>',
      'when it may take over, a cron expression and a duration, in the time zone of the device unless it names one; several times',
      collect,
      [],
    )
    .option(
      '--shadow',
      'the image gets copies of what the module is asked, and answers nobody; nothing switches',
      false,
    )
    .option('--percent <share>', 'with --shadow: of a hundred requests so many are copied (default: 100)')
    .option(
      '--compare <rule>',
      'with --shadow: which answers are the same: tolerance[:<absolute>] or top-1[:<output>] (default: tolerance)',
    )
    .option('--no-wait', 'do not wait for the device')
    .option('--timeout <duration>', 'how long to wait', '10m')
    .action(async (texts: readonly string[], options: DeployOptions) => {
      const device = parseName(options.device, 'device');
      if (options.release !== undefined) {
        const order = { device, ...readReleaseOrder(texts, options, command) };
        await withSession(io, command, (session) => deployRelease(session, order));
        return;
      }
      if (texts.length === 0) throw new AppError('request.invalid', 'name an image, or give --release');
      if (options.dryRun) throw new AppError('request.invalid', '--dry-run goes with --release');
      const references = texts.map((text) => parseImageReference(text));
      const as = options.as === undefined ? undefined : parseName(options.as, 'module');
      if (as !== undefined && references.length > 1) {
        throw new AppError('request.invalid', '--as names one module: deploy one image with it');
      }
      const settings = readSettings(options.set);
      const rule = readShadowRule(options);
      if (options.shadow) {
        const [reference = '', ...more] = references;
        if (more.length > 0) throw new AppError('request.invalid', '--shadow takes one image');
        refuseBesideShadow((flag) => command.getOptionValueSource(flag) === 'cli');
        const { wait } = options;
        const shadow = { reference, device, as, settings, rule, wait, timeoutMs: parseDurationMs(options.timeout) };
        await withSession(io, command, (session) => deployShadow(session, shadow));
        return;
      }
      const update = readUpdate(options);
      const overrides = await readRoutes(options.route, options.routes);
      const timeoutMs = parseDurationMs(options.timeout);
      const { restart, atomic, wait } = options;
      await withSession(io, command, (session) =>
        deploy(session, { references, device, as, settings, overrides, restart, update, atomic, wait, timeoutMs }),
      );
    });
  return withExamples(
    command,
    'flotilla deploy digits:1 --device cam-1',
    'flotilla deploy gate:3 --device cam-1 --as gate-north --set threshold=0.8 --set label=\'"north"\'',
    'flotilla deploy digits:2 --device cam-1 --probation 60s --watch minRequests=200 --watch maxP99Ratio=1.5',
    "flotilla deploy gate:3 --device cam-1 --route 'alarms={ from: { output: alarms }, to: { topic: gate/alarms } }' --route readings=off",
    "flotilla deploy digits:2 --device cam-1 --window '0 2 * * 1-5 for 2h'",
    'flotilla deploy digits:2 --device cam-1 --shadow --percent 10 --compare top-1',
    'flotilla deploy detector:4 tracker:4 --device cam-1 --atomic',
    'flotilla deploy --release vision:2 --device cam-1 --dry-run',
  );
}

function readReleaseOrder(
  texts: readonly string[],
  options: DeployOptions,
  command: Command,
): Omit<ReleaseOrder, 'device'> {
  if (texts.length > 0) throw new AppError('request.invalid', 'give images or --release, not both');
  refuseModuleFlags((flag) => command.getOptionValueSource(flag) === 'cli');
  return {
    release: parseReleaseReference(options.release ?? ''),
    dryRun: options.dryRun,
    wait: options.wait,
    timeoutMs: parseDurationMs(options.timeout),
  };
}

interface Deployment {
  readonly references: readonly string[];
  readonly device: string;
  readonly as: string | undefined;
  readonly settings: JsonSettings;
  readonly overrides: RouteOverrides;
  readonly restart: RestartPolicy['restart'];
  readonly update: UpdateInput;
  readonly atomic: boolean;
  readonly wait: boolean;
  readonly timeoutMs: number;
}

interface Placed {
  readonly module: string;
  readonly image: string;
  readonly digest: string;
}

async function deploy(session: Session, deployment: Deployment): Promise<void> {
  const { client, out, progress } = session;
  const { device, settings, overrides, restart, update, atomic } = deployment;
  const placed: Placed[] = [];
  for (const reference of deployment.references) {
    const image = await client.call(routes.imageGet, { params: { reference } });
    const module = deployment.as ?? image.name;
    if (placed.some((other) => other.module === module)) {
      throw new AppError('request.invalid', `two of these images would be module ${module}: name each module once`);
    }
    placed.push({ module, image: formatReference(image), digest: image.digest });
  }
  const before = await client.call(routes.deviceGet, { params: { device } });
  // By digest: what was looked up is what is deployed.
  const modules = Object.fromEntries(
    placed.map(
      ({ module, digest }) =>
        [module, { image: digest, settings, policy: { restart }, update, routes: overrides }] as const,
    ),
  );
  const { generation } = await client.call(routes.modulesPost, { params: { device }, body: { modules, atomic } });
  const [first] = placed;
  const answer = placed.length === 1 ? { device, ...first, generation } : { device, modules: placed, generation };
  const names = placed.map(({ image }) => image).join(', ');
  if (!deployment.wait) {
    out.result({ ...answer, done: false }, () => `${names} is desired on ${device} (generation ${String(generation)})`);
    return;
  }
  for (const { image, module } of placed) {
    progress.line(`${image} as ${module} on ${device}, generation ${String(generation)}`);
  }
  const refusedBeforeAt = before.reported.refused?.at;
  const targets = placed.map(({ module, digest }) => {
    const attemptsBefore = failedAttempts(before, module, digest);
    return { generation, module, digest, refusedBeforeAt, attemptsBefore };
  });
  const { done, text } = await followDeployment(session, device, targets, deployment.timeoutMs);
  out.result({ ...answer, done }, () => text);
}
