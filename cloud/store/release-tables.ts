/** The tables of releases, of images that are chosen among, and of what lies over devices, as Kysely sees them. */
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

/** What some devices have beyond, or other than, what they were given. */
export interface LayerTable {
  workspace: string;
  name: string;
  /** Rises with each change. */
  revision: number;
  description: string;
  priority: number;
  queryText: string;
  queryJson: string;
  modulesJson: string;
  /** Devices take it with their next change only. */
  staged: number;
  /** So many devices at most are changed at once without a rollout. */
  maxDevices: number;
  createdAt: string;
  updatedAt: string;
  /** It matches no device any more, and goes when none has it. */
  endedAt: string | null;
}

/** What lies below the layers of a device, and what they said when it was put together. None: no layer lies over it. */
export interface DeviceBaseTable {
  workspace: string;
  device: string;
  baseJson: string;
  layersJson: string;
}

export interface ReleaseDatabase {
  releases: ReleaseTable;
  releaseModules: ReleaseModuleTable;
  imageVariants: ImageVariantTable;
  layers: LayerTable;
  deviceBases: DeviceBaseTable;
}
