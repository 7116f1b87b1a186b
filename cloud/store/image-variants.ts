/** Which images an index chooses among, in SQL. */
import type { Kysely } from 'kysely';
import { formatReference } from '#shared/kernel/names.js';
import type { IndexedVariant } from '#shared/package/variant-index.js';
import type { Variant } from '#shared/protocol/desired.js';
import type { ControlDatabase } from './tables.js';

/** As a desired document names it: with the signatures that it has now. */
export type StoredVariant = Variant;

export async function insertVariants(
  db: Kysely<ControlDatabase>,
  workspace: string,
  indexDigest: string,
  variants: readonly IndexedVariant[],
): Promise<void> {
  if (variants.length === 0) return;
  await db
    .insertInto('imageVariants')
    .values(
      variants.map(({ digest, accelerator, precision, providers }, position) => ({
        ...{ workspace, indexDigest, position, digest, accelerator, precision },
        providersJson: JSON.stringify(providers),
      })),
    )
    .execute();
}

/** In the order of the index. */
export async function variantsOf(
  db: Kysely<ControlDatabase>,
  workspace: string,
  indexDigest: string,
): Promise<StoredVariant[]> {
  const rows = await db
    .selectFrom('imageVariants as v')
    .innerJoin('images as i', (join) =>
      join.onRef('i.workspace', '=', 'v.workspace').onRef('i.digest', '=', 'v.digest'),
    )
    .select(['v.digest', 'v.accelerator', 'v.precision', 'v.providersJson'])
    .select(['i.name', 'i.version', 'i.manifestSize', 'i.signatureDigest', 'i.signatureSize'])
    .where('v.workspace', '=', workspace)
    .where('v.indexDigest', '=', indexDigest)
    .orderBy('v.position')
    .execute();
  return rows.map(({ digest, accelerator, precision, providersJson, name, version, ...sizes }) => ({
    image: {
      ...{ name, version, digest, size: sizes.manifestSize },
      signature: { digest: sizes.signatureDigest, size: sizes.signatureSize },
    },
    ...{ accelerator, precision },
    providers: JSON.parse(providersJson) as string[],
  }));
}

/** Indexes that name this image, as name:version. */
export async function indexesOf(db: Kysely<ControlDatabase>, workspace: string, digest: string): Promise<string[]> {
  const rows = await db
    .selectFrom('imageVariants as v')
    .innerJoin('images as i', (join) =>
      join.onRef('i.workspace', '=', 'v.workspace').onRef('i.digest', '=', 'v.indexDigest'),
    )
    .select(['i.name', 'i.version'])
    .where('v.workspace', '=', workspace)
    .where('v.digest', '=', digest)
    .where('i.deletedAt', 'is', null)
    .orderBy('i.name')
    .orderBy('i.version')
    .limit(20)
    .execute();
  return rows.map(formatReference);
}
