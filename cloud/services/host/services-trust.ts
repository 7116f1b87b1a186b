/**
 * Whose images may run, by workspace, as devices judge it: each version of a workspace's trust document is signed by
 * publishers of the version before, so that a control plane alone changes nothing. The first comes from whom the
 * operator pinned; where nobody is pinned, from whoever signed the first that is handed over.
 */
import * as z from 'zod';
import { AppError, type Problem } from '#shared/kernel/errors.js';
import { acceptTrust, readTrustPayload } from '#shared/package/trust-acceptance.js';
import { JsonDocument } from '#shared/platform/atomic-file.js';
import { envelopeSchema } from '#shared/protocol/envelope.js';
import { nameSchema, schemaVersion } from '#shared/protocol/primitives.js';
import { maxPublishers, signerKeySchema, type Trust, trustDocumentSchema } from '#shared/protocol/trust.js';

const publishersSchema = z.array(signerKeySchema).min(1).max(maxPublishers);

/** What a control plane hands over. What it does not name stays as it is. */
export const handedTrustSchema = z.strictObject({
  schema: schemaVersion,
  workspaces: z
    .array(
      z.strictObject({
        workspace: nameSchema,
        /** Who counts where there is no trust document: taken once, and only while nothing else is known. */
        pins: publishersSchema.optional(),
        /** Versions of the trust document in rising order, as they were signed. */
        envelopes: z.array(envelopeSchema).max(256).default([]),
      }),
    )
    .max(1_000),
});
export type HandedTrust = z.infer<typeof handedTrustSchema>;

const { version: _version, ...trusted } = trustDocumentSchema.shape;
const keptTrustSchema = z.object({
  version: z.int().min(0),
  publishers: publishersSchema,
  threshold: trusted.threshold,
  directors: z.array(z.string()),
  authorities: z.array(z.string()),
  withdrawn: z.array(signerKeySchema),
});
const keptSchema = z.record(nameSchema, keptTrustSchema);

export type Pins = Readonly<Record<string, readonly string[]>>;

export class ServicesTrust {
  private kept: Readonly<Record<string, Trust>> = {};
  private readonly file: JsonDocument<Readonly<Record<string, Trust>>>;

  /** @param pins by workspace, as the operator has them in this service host's own configuration */
  constructor(
    path: string,
    private readonly pins: Pins,
    /** It cannot be read: nothing is trusted until it is handed over again. */
    private readonly onLost: (error: AppError) => void,
  ) {
    this.file = new JsonDocument(path, (value) => keptSchema.parse(value), { mode: 0o600 });
  }

  async open(): Promise<void> {
    try {
      this.kept = (await this.file.read())?.value ?? {};
    } catch (error) {
      if (!(error instanceof AppError && error.code === 'state.corrupt')) throw error;
      this.onLost(error);
    }
  }

  /** @throws AppError `trust.not-found` */
  of(workspace: string): Trust {
    const found = this.known(workspace);
    if (found !== undefined) return found;
    throw new AppError(
      'trust.not-found',
      `nobody says whose images may run in workspace ${workspace}: publish its trust document (flotilla trust propose --publish), or name its publishers in the configuration`,
    );
  }

  /** Of each workspace, the version of its trust document: what comes after it is news. */
  get versions(): Readonly<Record<string, number>> {
    return Object.fromEntries(Object.entries(this.kept).map(([workspace, { version }]) => [workspace, version]));
  }

  /**
   * Durable when it resolves. What is refused changes nothing, and does not keep the rest from counting.
   *
   * @returns whether anything changed, and what was refused
   */
  async take(handed: HandedTrust): Promise<{ changed: boolean; refused: Problem[] }> {
    const refused: Problem[] = [];
    const next: Record<string, Trust> = { ...this.kept };
    for (const { workspace, pins, envelopes } of handed.workspaces) {
      let trust = this.known(workspace);
      for (const envelope of envelopes) {
        const verdict = acceptTrust(envelope, { ...(trust ?? selfSigned(envelope)), workspace });
        if (verdict.ok) trust = verdict.value.document;
        else if (verdict.error.code !== 'trust.older-version') refused.push(verdict.error);
      }
      trust ??= pins === undefined ? undefined : pinned(pins);
      if (trust !== undefined) next[workspace] = trustOf(trust);
    }
    const changed = JSON.stringify(next) !== JSON.stringify(this.kept);
    if (changed) await this.file.write(next);
    this.kept = next;
    return { changed, refused };
  }

  private known(workspace: string): Trust | undefined {
    const kept = Object.hasOwn(this.kept, workspace) ? this.kept[workspace] : undefined;
    const pins = Object.hasOwn(this.pins, workspace) ? this.pins[workspace] : undefined;
    // The operator's own word goes before what was taken on trust, and not before what publishers signed.
    if (pins !== undefined && (kept === undefined || kept.version === 0)) return pinned(pins);
    return kept;
  }
}

function pinned(publishers: readonly string[]): Trust {
  return { version: 0, publishers: [...publishers], threshold: 1, directors: [], authorities: [], withdrawn: [] };
}

/** As if whoever signed it had been pinned. */
function selfSigned(envelope: z.output<typeof envelopeSchema>): Trust {
  const offered = readTrustPayload(envelope);
  const { publishers, threshold } = offered.ok ? offered.value : { publishers: [], threshold: 1 };
  return { ...pinned(publishers), threshold };
}

function trustOf({ version, publishers, threshold, directors, authorities, withdrawn }: Trust): Trust {
  return { version, publishers, threshold, directors, authorities, withdrawn };
}
