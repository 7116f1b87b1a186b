/** `flotilla trust …`: whom the devices of a workspace trust, and how that is changed without losing one. */
import { Command } from 'commander';
import type { CliIo } from '../cli-io.js';
import { withExamples } from '../help.js';
import { formatFields, formatTable } from '../output.js';
import { withSession } from '../session.js';
import { shortKey } from '../trust-proposal.js';
import { lossesOf, trustReadiness, type TrustReadiness } from '../trust-readiness.js';
import { readTrustState, type TrustState } from '../trust-state.js';
import { routes } from '#cloud/client/routes.js';
import { proposeCommand, publishCommand, signCommand } from './trust-change.js';
import { rotateCommand } from './trust-rotate.js';

export function trustCommand(io: CliIo): Command {
  const group = new Command('trust').description('Whom devices trust: publishers, directors, certificate authorities.');
  for (const command of [
    showCommand(io),
    statusCommand(io),
    proposeCommand(io),
    signCommand(io),
    publishCommand(io),
    rotateCommand(io),
  ]) {
    group.addCommand(command);
  }
  return withExamples(
    group,
    'flotilla trust status',
    'flotilla trust propose --publish',
    'flotilla trust rotate director --begin',
  );
}

function showCommand(io: CliIo): Command {
  const command = new Command('show')
    .description('Show the newest trust document, and what this control plane uses.')
    .action(async () => {
      await withSession(io, command, async ({ client, out }) => {
        const state = await readTrustState(client);
        const { newest, document, director, authorities } = state;
        const used = { director, authorities: authorities.map(({ fingerprint }) => fingerprint) };
        out.result({ newest, document: document ?? null, controlPlane: used }, () => describeState(state));
      });
    });
  return withExamples(command, 'flotilla trust show');
}

function describeState({ newest, document, director, authorities }: TrustState): string {
  const rows = (name: string, items: readonly string[]): [string, string][] =>
    items.map((item, index) => [index === 0 ? name : '', item]);
  const said: [string, string][] =
    document === undefined
      ? [['version', 'none yet: each device goes by what its enrolment token pinned']]
      : [
          ['version', `${String(newest)}, issued ${document.issuedAt}`],
          ...rows('publishers', document.publishers.map(shortKey)),
          ['threshold', String(document.threshold)],
          ...rows('directors', document.directors.map(shortKey)),
          ['authorities', String(document.authorities.length)],
          ...rows('withdrawn', document.withdrawn.map(shortKey)),
        ];
  const next = director.next === undefined ? [] : [`next: ${shortKey(director.next)}`];
  return formatFields([
    ...said,
    ...rows('this control plane signs with', [shortKey(director.current), ...next]),
    ...rows(
      'its authorities',
      authorities.map(({ fingerprint }) => fingerprint),
    ),
  ]);
}

function statusCommand(io: CliIo): Command {
  const command = new Command('status')
    .description('Show which version each device goes by, and what would be lost by going on.')
    .action(async () => {
      await withSession(io, command, async ({ client, out }) => {
        const { document, waiting } = await readTrustState(client);
        const readiness = trustReadiness(
          document,
          await client.list(routes.deviceList, {}),
          await client.list(routes.imageList, {}),
        );
        const losses = lossesOf(readiness, []);
        out.result({ ...readiness, losses, waiting }, () =>
          [describeReadiness(readiness, losses), ...describeWaiting(waiting)].join('\n'),
        );
      });
    });
  return withExamples(command, 'flotilla trust status', 'flotilla trust status --output json | jq .losses');
}

/** Only while the authority is being replaced. */
function describeWaiting(waiting: TrustState['waiting']): string[] {
  if (waiting.length === 0) return [];
  const says = { trust: 'does not know the next one', certificate: 'has no certificate of the next one' };
  const lines = waiting.map(({ device, lacks }) => `  ${device} ${says[lacks]}`);
  return ['Depend on the authority that is being replaced:', ...lines];
}

function describeReadiness({ newest, devices, images }: TrustReadiness, losses: readonly string[]): string {
  const deviceTable = formatTable(
    ['DEVICE', 'LINK', 'VERSION', 'STATE', 'SIGNED BY NOBODY WHO COUNTS'],
    devices.map(({ device, online, version, state, unsigned, problem }) => [
      device,
      online ? 'online' : 'offline',
      `${String(version)} of ${String(newest)}`,
      problem === undefined ? state : `${state}: ${problem}`,
      unsigned.length === 0 ? '-' : unsigned.join(' '),
    ]),
  );
  const imageTable = formatTable(
    ['IMAGE', 'DEVICES', 'SIGNED BY PUBLISHERS WHO COUNT'],
    images.map(({ image, devices: on, signedBy }) => [
      image,
      String(on.length),
      signedBy.length === 0 ? 'none' : signedBy.map((id) => id.slice(0, 16)).join(' '),
    ]),
  );
  const rest =
    losses.length === 0
      ? ['every device and every deployed image is ready']
      : ['Not ready:', ...losses.map((line) => `  ${line}`)];
  return [
    ...(devices.length === 0 ? [] : [deviceTable]),
    ...(images.length === 0 ? [] : [imageTable]),
    rest.join('\n'),
  ].join('\n');
}
