/** The tables of releases, and of images that are chosen among, as Kysely sees them. */
import type { Generated } from 'kysely';
import type { AcceleratorKind, Precision } from '#shared/protocol/accelerators.js';

/** Never changed; of one that was deleted the row stays, so that its version is never given again. */
export interface ReleaseTable {
  workspace: string;
  name: string;
  version: number;
  description: string;
  /** The modules that changed take over together, or none of them does. */
  atomic: number;
  createdAt: string;
  deletedAt: string | null;
}

export interface ReleaseModuleTable {
  workspace: string;
  name: string;
  version: number;
  module: string;
  imageDigest: string;
  settingsJson: string;
  policyJson: string;
  updateJson: string;
  requiresJson: string;
  routesJson: Generated<string>;
  startAfterJson: Generated<string>;
}

/** An image that an index chooses among, in the order of the index. */
export interface ImageVariantTable {
  workspace: string;
  indexDigest: string;
  position: number;
  digest: string;
  accelerator: AcceleratorKind;
  precision: Precision;
  providersJson: string;
}

export interface ReleaseDatabase {
  releases: ReleaseTable;
  releaseModules: ReleaseModuleTable;
  imageVariants: ImageVariantTable;
}
