/** `flotilla apply`: what a file says is there afterwards, and nothing is made or started that is already. */
import { Command } from 'commander';
import { AppError } from '#shared/kernel/errors.js';
import { formatReference } from '#shared/kernel/names.js';
import type { FlotillaClient } from '#cloud/client/flotilla-client.js';
import { routes } from '#cloud/client/routes.js';
import { releaseMeant, sameRollout } from '../applied-state.js';
import { parseImageReference, parseName } from '../argument-parsers.js';
import {
  type Applied,
  applyDeployment,
  applyEndpoint,
  applyTraffic,
  type AzureOverrides,
} from '../azure/azure-apply.js';
import { describeNotes, notesOf } from '../azure/azure-notes.js';
import type { CliIo } from '../cli-io.js';
import { withExamples } from '../help.js';
import { describeOutcome } from '../layer-text.js';
import { type AppliedDocument, readAppliedFile, type RolloutOrder } from '../rollout-file.js';
import { type Session, withSession } from '../session.js';
import { readYamlDocuments } from '../yaml-input.js';

export interface ApplyOptions extends AzureOverrides {
  readonly file: string;
}

export function withAzureOptions(command: Command): Command {
  return command
    .option('--endpoint <name>', 'of a deployment in the form of Azure ML: its endpoint, whatever the file says')
    .option('--image <image>', 'of such a deployment: the image that it runs, whatever model the file names');
}

export function applyCommand(io: CliIo): Command {
  const command = withAzureOptions(
    new Command('apply')
      .description(
        'Make what a YAML file says: the next version of a release, unless the newest is the same already; a layer; a rollout, unless the newest over that fleet is the same; an online endpoint or deployment in the form of Azure ML v2.',
      )
      .requiredOption('-f, --file <path>', 'the file, of one or more documents; - for standard input'),
  )
    .option('--dry-run', 'of a layer: say how many devices change, and what on one of them; save nothing', false)
    .action(async ({ file, dryRun, ...given }: ApplyOptions & { readonly dryRun: boolean }) => {
      const documents = await readDocuments(io, file);
      const overrides = readOverrides(given);
      if (dryRun && documents.some(({ kind }) => kind !== 'layer')) {
        throw new AppError(
          'request.invalid',
          '--dry-run is for layers: flotilla diff says what else a file would change',
        );
      }
      await withSession(io, command, async (session) => {
        const { out } = session;
        const say = (kind: string, { value, text }: Applied): void => {
          if (documents.length === 1) out.result(value, () => text);
          else out.item({ kind, ...value }, () => text);
        };
        for (const one of inOrder(documents)) {
          const notes = notesOf(one);
          if (notes.length > 0) out.note(describeNotes(one, notes));
          const { value, text } = await applyOne(session, one, { dryRun, overrides, alone: documents.length === 1 });
          say(one.kind, { value: notes.length === 0 ? value : { ...value, warnings: notes }, text });
        }
        // When all that answers is there.
        for (const one of documents.length === 1 ? [] : documents) {
          const traffic = one.kind === 'endpoint' ? await applyTraffic(session.client, one.endpoint) : undefined;
          if (traffic !== undefined) say('traffic', traffic);
        }
      });
    });
  return withExamples(
    command,
    'flotilla apply -f release.yaml',
    'flotilla apply -f rollout.yaml',
    'flotilla apply -f blue-deployment.yml --endpoint fraud --image digits:3',
  );
}

interface How {
  readonly dryRun: boolean;
  readonly overrides: AzureOverrides;
  /** The file has no other document. */
  readonly alone: boolean;
}

async function applyOne(session: Session, one: AppliedDocument, how: How): Promise<Applied> {
  const { client } = session;
  switch (one.kind) {
    case 'release': {
      const made = await client.call(routes.releaseCreate, { body: { ...one.contents, unlessSame: true } });
      return { value: made, text: `${formatReference(made)} ${made.created ? 'is made' : 'is the same already'}` };
    }
    case 'layer': {
      const body = { ...one.contents, replace: true, dryRun: how.dryRun };
      const outcome = await client.call(routes.layerCreate, { body });
      return { value: outcome, text: describeOutcome(outcome, 'saved') };
    }
    case 'rollout': {
      const { rollout, text } = await applyRollout(client, one.order);
      return { value: rollout, text };
    }
    case 'endpoint': {
      const made = await applyEndpoint(client, one.endpoint);
      const traffic = how.alone ? await applyTraffic(client, one.endpoint) : undefined;
      if (traffic === undefined) return made;
      return { value: { ...made.value, ...traffic.value }, text: `${made.text}\n${traffic.text}` };
    }
    case 'deployment':
      return applyDeployment(session, one.deployment, how.overrides);
  }
}

/** @throws AppError `request.invalid` */
export function readOverrides({ endpoint, image }: AzureOverrides): AzureOverrides {
  return {
    endpoint: endpoint === undefined ? undefined : parseName(endpoint, 'endpoint'),
    image: image === undefined ? undefined : parseImageReference(image),
  };
}

/** @throws AppError `request.invalid` */
export async function readDocuments(io: CliIo, file: string): Promise<AppliedDocument[]> {
  return readAppliedFile(await readYamlDocuments(io, file), file === '-' ? 'standard input' : file);
}

const order = ['release', 'layer', 'rollout', 'endpoint', 'deployment'];

/** Releases, and what goes over them, before the rollouts of them; endpoints before what runs behind them. */
export function inOrder(documents: readonly AppliedDocument[]): readonly AppliedDocument[] {
  return [...documents].sort((a, b) => order.indexOf(a.kind) - order.indexOf(b.kind));
}

type AppliedRollout = Awaited<ReturnType<typeof start>> & { readonly started: boolean };

/** One that went wrong is not started anew by a file that says the same as before. */
async function applyRollout(
  client: FlotillaClient,
  order: RolloutOrder,
): Promise<{ rollout: AppliedRollout; text: string }> {
  const release = (await releaseMeant(client, order.release)) ?? order.release;
  const same = await sameRollout(client, order, release);
  if (same === undefined) {
    const rollout = { ...(await start(client, order, release)), started: true };
    return { rollout, text: `rollout ${String(rollout.number)} of ${release} over ${order.fleet} is started` };
  }
  const number = String(same.number);
  const state = same.endsAs ?? same.state;
  if (['failed', 'aborted', 'rolled-back'].includes(state)) {
    throw new AppError(
      'rollout.state',
      `rollout ${number} of ${release} over ${order.fleet} is ${state}: change the file, or start it anew with ` +
        `flotilla rollout start --release ${release} --fleet ${order.fleet}`,
    );
  }
  return {
    rollout: { ...same, started: false },
    text: `rollout ${number} of ${release} over ${order.fleet} is ${same.state}`,
  };
}

function start(client: FlotillaClient, order: RolloutOrder, release: string) {
  return client.call(routes.rolloutStart, { body: { ...order, release } });
}
