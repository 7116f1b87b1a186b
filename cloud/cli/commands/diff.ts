/** `flotilla diff`: what `flotilla apply` would change. */
import { Command } from 'commander';
import { formatReference } from '#shared/kernel/names.js';
import type { FlotillaClient } from '#cloud/client/flotilla-client.js';
import { releaseMeant, releaseState, sameRollout } from '../applied-state.js';
import { routes } from '#cloud/client/routes.js';
import type { AzureDocument } from '../azure/azure-document.js';
import { describeNotes, notesOf } from '../azure/azure-notes.js';
import { planAzure } from '../azure/azure-plan.js';
import { describeOutcome } from '../layer-text.js';
import type { CliIo } from '../cli-io.js';
import { withExamples } from '../help.js';
import { describeDifferences } from '../release-text.js';
import type { AppliedDocument } from '../rollout-file.js';
import { withSession } from '../session.js';
import { type ApplyOptions, inOrder, readDocuments, readOverrides, withAzureOptions } from './apply.js';

interface Planned {
  readonly kind: AppliedDocument['kind'];
  readonly name: string;
  readonly changes: boolean;
  readonly text: string;
}

export function diffCommand(io: CliIo): Command {
  const command = withAzureOptions(
    new Command('diff')
      .description('Say what flotilla apply would make or start of a file. Nothing is changed.')
      .requiredOption('-f, --file <path>', 'the file, of one or more documents; - for standard input'),
  ).action(async ({ file, ...given }: ApplyOptions) => {
    const overrides = readOverrides(given);
    const documents = inOrder(await readDocuments(io, file));
    await withSession(io, command, async ({ client, out }) => {
      const changing = new Set<string>();
      const planned: Planned[] = [];
      for (const one of documents) {
        const notes = notesOf(one);
        if (notes.length > 0) out.note(describeNotes(one, notes));
        const plan =
          one.kind === 'endpoint' || one.kind === 'deployment'
            ? { kind: one.kind, ...(await planAzure(client, one, overrides)), warnings: notes }
            : await planOne(client, one, changing);
        if (plan.kind === 'release' && plan.changes) changing.add(plan.name);
        planned.push(plan);
      }
      out.result(planned, () => planned.map(({ text }) => text).join('\n'));
    });
  });
  return withExamples(
    command,
    'flotilla diff -f rollout.yaml',
    'flotilla diff -f blue-deployment.yml --image digits:3',
  );
}

/** @param changing releases of which the file makes a new version */
async function planOne(
  client: FlotillaClient,
  one: Exclude<AppliedDocument, AzureDocument>,
  changing: ReadonlySet<string>,
): Promise<Planned> {
  if (one.kind === 'release') {
    const { name } = one.contents;
    const { newest, differences, isSame } = await releaseState(client, one.contents);
    if (newest === undefined) return { kind: 'release', name, changes: true, text: `release ${name} is new` };
    if (isSame)
      return { kind: 'release', name, changes: false, text: `${formatReference(newest)} is the same already` };
    const head = `${name}:${String(newest.version + 1)} would differ from ${formatReference(newest)}:`;
    return { kind: 'release', name, changes: true, text: `${head}\n${describeDifferences(differences)}` };
  }
  if (one.kind === 'layer') {
    const body = { ...one.contents, replace: true, dryRun: true };
    const outcome = await client.call(routes.layerCreate, { body });
    const { name } = one.contents;
    return { kind: 'layer', name, changes: outcome.changed, text: describeOutcome(outcome, 'saved') };
  }
  const { release: named, fleet } = one.order;
  const release = changing.has(named) ? undefined : await releaseMeant(client, named);
  const same = release === undefined ? undefined : await sameRollout(client, one.order, release);
  const what = release ?? `the new ${named}`;
  const text =
    same === undefined
      ? `a rollout of ${what} over ${fleet} would start`
      : `rollout ${String(same.number)} of ${what} over ${fleet} is ${same.state}`;
  return { kind: 'rollout', name: fleet, changes: same === undefined, text };
}
