/** The tables of the workspace's storage and of what devices collect, as Kysely sees them; by the rules of `tables.ts`. */

export interface StorageFileTable {
  workspace: string;
  /** Relative, with forward slashes. */
  path: string;
  /** Hours since 1970 that its lines are of. */
  hour: number;
  /** That count; the file may be longer, where an append was cut off. */
  bytes: number;
  createdAt: string;
  updatedAt: string;
}

/** Up to which sequence a source was taken. */
export interface StorageMarkTable {
  workspace: string;
  source: string;
  upTo: number;
  updatedAt: string;
}

export interface DeviceCollectionTable {
  workspace: string;
  device: string;
  module: string;
  /** A CollectRule. */
  ruleJson: string;
  /** The first desired generation that carries it. */
  generation: number;
  createdAt: string;
}

export interface StorageDatabase {
  storageFiles: StorageFileTable;
  storageMarks: StorageMarkTable;
  deviceCollections: DeviceCollectionTable;
}
