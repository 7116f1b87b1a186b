/** `flotilla apply`: what a file says is there afterwards, and nothing is made or started that is already. */
import { Command } from 'commander';
import { AppError } from '#shared/kernel/errors.js';
import { formatReference } from '#shared/kernel/names.js';
import type { FlotillaClient } from '#cloud/client/flotilla-client.js';
import { routes } from '#cloud/client/routes.js';
import { releaseMeant, sameRollout } from '../applied-state.js';
import type { CliIo } from '../cli-io.js';
import { withExamples } from '../help.js';
import { describeOutcome } from '../layer-text.js';
import { type AppliedDocument, readAppliedFile, type RolloutOrder } from '../rollout-file.js';
import { withSession } from '../session.js';
import { readYamlDocuments } from '../yaml-input.js';

export function applyCommand(io: CliIo): Command {
  const command = new Command('apply')
    .description(
      'Make what a YAML file says: the next version of a release, unless the newest is the same already; a layer; a rollout, unless the newest over that fleet is the same.',
    )
    .requiredOption('-f, --file <path>', 'the file, of one or more documents; - for standard input')
    .option('--dry-run', 'of a layer: say how many devices change, and what on one of them; save nothing', false)
    .action(async ({ file, dryRun }: { readonly file: string; readonly dryRun: boolean }) => {
      const documents = await readDocuments(io, file);
      if (dryRun && documents.some(({ kind }) => kind !== 'layer')) {
        throw new AppError(
          'request.invalid',
          '--dry-run is for layers: flotilla diff says what else a file would change',
        );
      }
      await withSession(io, command, async ({ client, out }) => {
        for (const one of inOrder(documents)) {
          if (one.kind === 'release') {
            const made = await client.call(routes.releaseCreate, { body: { ...one.contents, unlessSame: true } });
            const text = `${formatReference(made)} ${made.created ? 'is made' : 'is the same already'}`;
            if (documents.length === 1) out.result(made, () => text);
            else out.item({ kind: 'release', ...made }, () => text);
          } else if (one.kind === 'layer') {
            const body = { ...one.contents, replace: true, dryRun };
            const outcome = await client.call(routes.layerCreate, { body });
            const text = describeOutcome(outcome, 'saved');
            if (documents.length === 1) out.result(outcome, () => text);
            else out.item({ kind: 'layer', ...outcome }, () => text);
          } else {
            const { rollout, text } = await applyRollout(client, one.order);
            if (documents.length === 1) out.result(rollout, () => text);
            else out.item({ kind: 'rollout', ...rollout }, () => text);
          }
        }
      });
    });
  return withExamples(command, 'flotilla apply -f release.yaml', 'flotilla apply -f rollout.yaml');
}

/** @throws AppError `request.invalid` */
export async function readDocuments(io: CliIo, file: string): Promise<AppliedDocument[]> {
  return readAppliedFile(await readYamlDocuments(io, file), file === '-' ? 'standard input' : file);
}

const order = ['release', 'layer', 'rollout'];

/** Releases, and what goes over them, before the rollouts of them. */
export function inOrder(documents: readonly AppliedDocument[]): readonly AppliedDocument[] {
  return [...documents].sort((a, b) => order.indexOf(a.kind) - order.indexOf(b.kind));
}

type Applied = Awaited<ReturnType<typeof start>> & { readonly started: boolean };

/** One that went wrong is not started anew by a file that says the same as before. */
async function applyRollout(client: FlotillaClient, order: RolloutOrder): Promise<{ rollout: Applied; text: string }> {
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
