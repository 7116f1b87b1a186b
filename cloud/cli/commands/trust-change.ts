/** `flotilla trust propose | sign | publish`: the next version, made on a publisher's machine, signed, handed to devices. */
import { Command } from 'commander';
import { toInstant } from '#shared/kernel/clock.js';
import { AppError } from '#shared/kernel/errors.js';
import type { TrustDocument } from '#shared/protocol/trust.js';
import { routes } from '#cloud/client/routes.js';
import { collect, parseCount } from '../argument-parsers.js';
import type { CliIo } from '../cli-io.js';
import { withExamples } from '../help.js';
import { KeyFolder } from '../keys/key-folder.js';
import { resolvePublisher } from '../keys/publisher-argument.js';
import { type KeyFlags, signingKeys, unlockSigningKeys, withKeyOptions } from '../keys/signing-keys.js';
import { type Session, withSession } from '../session.js';
import {
  documentOf,
  type Proposal,
  proposalOf,
  readProposal,
  signersOf,
  signProposal,
  writeProposal,
} from '../trust-file.js';
import { changeLine, changesOf, missingSignatures, proposeTrust, type TrustChange } from '../trust-proposal.js';
import { lossesOf, trustReadiness } from '../trust-readiness.js';
import { readTrustState } from '../trust-state.js';

interface ProposeOptions extends KeyFlags {
  readonly addPublisher: readonly string[];
  readonly withdraw: readonly string[];
  readonly threshold?: string;
  readonly out?: string;
  readonly publish?: boolean;
  readonly force?: boolean;
}

export function proposeCommand(io: CliIo): Command {
  const command = withKeyOptions(new Command('propose'))
    .description('Propose the next version: your keys that sign, and what this control plane uses now and next.')
    .option('--add-publisher <key>', 'another publisher, by name or key; several times', collect, [])
    .option('--withdraw <key>', 'a publisher who counts no longer, by name or key; several times', collect, [])
    .option('--threshold <count>', 'how many publishers must sign the version after this one')
    .option('--out <file>', 'write it to this file, for others to sign')
    .option('--publish', 'sign it here and publish it, when no other signature is missing')
    .option('--force', 'withdraw a publisher although images or devices are not ready')
    .action(async (options: ProposeOptions) => {
      await withSession(io, command, async (session) => {
        const { out } = session;
        const { document, before } = await makeProposal(session, options);
        if (options.withdraw.length > 0 && options.force !== true) {
          await requireReady(session, before, document.withdrawn);
        }
        const changes = changesOf(before, document);
        for (const change of changes) out.note(changeLine(change));
        const proposal = proposalOf(document);
        if (options.publish === true) {
          await signAndPublish(session, proposal, before, changes, options);
          return;
        }
        const file = options.out ?? `trust-${String(document.version)}.json`;
        await writeProposal(file, proposal);
        out.result({ file, document, changes }, () =>
          [
            `wrote version ${String(document.version)} to ${file}`,
            'Next:',
            `  flotilla trust sign ${file}`,
            `  flotilla trust publish ${file}`,
          ].join('\n'),
        );
      });
    });
  return withExamples(
    command,
    'flotilla trust propose --publish',
    'flotilla trust propose --add-publisher alice --threshold 2 --out trust.json',
    'flotilla trust propose --withdraw publisher --publish',
  );
}

async function makeProposal(
  { io, client, out }: Session,
  options: ProposeOptions,
): Promise<{ document: TrustDocument; before: TrustDocument | undefined }> {
  const folder = new KeyFolder(io.config.home);
  const resolve = (texts: readonly string[], option: string): Promise<string[]> =>
    Promise.all(texts.map((text) => resolvePublisher(folder, text, option)));
  const state = await readTrustState(client);
  const own = await signingKeys(io, (text) => out.note(text), options.key);
  const { current, next } = state.director;
  const document = proposeTrust({
    workspace: client.workspace,
    newest: state.document,
    publishers: [...own.map(({ publicKey }) => publicKey), ...(await resolve(options.addPublisher, '--add-publisher'))],
    withdraw: await resolve(options.withdraw, '--withdraw'),
    threshold: options.threshold === undefined ? undefined : parseCount(options.threshold, 8),
    directors: next === undefined ? [current] : [current, next],
    authorities: state.authorities.map(({ certificate }) => certificate),
    issuedAt: toInstant(io.clock.now()),
  });
  return { document, before: state.document };
}

/** @throws AppError `trust.not-yet` that says what would be lost */
async function requireReady(
  { client }: Session,
  before: TrustDocument | undefined,
  withdrawn: readonly string[],
): Promise<void> {
  const devices = await client.list(routes.deviceList, {});
  const losses = lossesOf(trustReadiness(before, devices, await client.list(routes.imageList, {})), withdrawn);
  if (losses.length === 0) return;
  throw new AppError(
    'trust.not-yet',
    `not everything is ready for that publisher to go: ${losses.join('; ')}. What only they signed goes on answering, is reported, ` +
      'and is not installed again; --force withdraws them all the same',
    { details: { losses } },
  );
}

async function signAndPublish(
  session: Session,
  proposal: Proposal,
  before: TrustDocument | undefined,
  changes: readonly TrustChange[],
  flags: KeyFlags,
): Promise<void> {
  const { io, client, out } = session;
  const keys = await unlockSigningKeys(io, flags, (text) => out.note(text));
  const signed = signProposal(proposal, keys);
  const document = documentOf(signed);
  const missing = missingSignatures(before, document, signersOf(signed, publishersOf(before, document)));
  if (missing.ofBefore + missing.ofOwn > 0) {
    const file = `trust-${String(document.version)}.json`;
    await writeProposal(file, signed);
    throw new AppError(
      'trust.threshold',
      `${describeMissing(missing)}. It is in ${file}, signed by you: let the others run "flotilla trust sign ${file}", then "flotilla trust publish ${file}"`,
    );
  }
  const { version } = await client.call(routes.trustPublish, { body: { envelope: signed } });
  out.result({ version, changes }, () => published(version));
}

function publishersOf(before: TrustDocument | undefined, after: TrustDocument): string[] {
  return [...new Set([...(before?.publishers ?? []), ...after.publishers])];
}

function describeMissing({ ofBefore, ofOwn }: { readonly ofBefore: number; readonly ofOwn: number }): string {
  const parts = [
    ...(ofBefore > 0 ? [`${String(ofBefore)} more of the publishers who count now`] : []),
    ...(ofOwn > 0 ? [`${String(ofOwn)} more of the publishers whom it names`] : []),
  ];
  return `it must be signed by ${parts.join(', and by ')}`;
}

function published(version: number): string {
  return [
    `published version ${String(version)}; devices take it when they are told, and at the latest when they next connect`,
    'Next:',
    '  flotilla trust status',
  ].join('\n');
}

export function signCommand(io: CliIo): Command {
  const command = withKeyOptions(new Command('sign'))
    .description('Sign a proposed trust document, after looking at what it changes.')
    .argument('<file>', 'as "trust propose" wrote it')
    .action(async (file: string, options: KeyFlags) => {
      await withSession(io, command, async ({ client, out }) => {
        const proposal = await readProposal(file);
        const document = documentOf(proposal);
        const { document: before } = await readTrustState(client);
        const changes = changesOf(before, document);
        for (const change of changes) out.note(changeLine(change));
        const keys = await unlockSigningKeys(io, options, (text) => out.note(text));
        const signed = signProposal(proposal, keys);
        await writeProposal(file, signed);
        const signers = signersOf(signed, publishersOf(before, document));
        const missing = missingSignatures(before, document, signers);
        const ready = missing.ofBefore + missing.ofOwn === 0;
        out.result({ file, version: document.version, changes, signers, missing }, () =>
          [
            `signed version ${String(document.version)} in ${file}`,
            ready ? `Next:\n  flotilla trust publish ${file}` : describeMissing(missing),
          ].join('\n'),
        );
      });
    });
  return withExamples(command, 'flotilla trust sign trust-2.json');
}

export function publishCommand(io: CliIo): Command {
  const command = new Command('publish')
    .description('Publish a signed trust document; refused when no device would accept it.')
    .argument('<file>', 'as "trust sign" left it')
    .action(async (file: string) => {
      await withSession(io, command, async ({ client, out }) => {
        const envelope = await readProposal(file);
        const [first, ...others] = envelope.signatures;
        if (first === undefined) {
          throw new AppError('trust.threshold', `nobody has signed ${file} yet: flotilla trust sign ${file}`);
        }
        const body = { envelope: { ...envelope, signatures: [first, ...others] } };
        const { version } = await client.call(routes.trustPublish, { body });
        out.result({ version }, () => published(version));
      });
    });
  return withExamples(command, 'flotilla trust publish trust-2.json');
}
