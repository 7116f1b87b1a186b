/** The tables of layers as Kysely sees them. */

/** A layer as it is now; of one that was deleted only its versions are left. */
export interface LayerTable {
  workspace: string;
  name: string;
  description: string;
  /** Its newest version. */
  version: number;
  /** Devices take it only with a release that is deployed to them. */
  staged: number;
  queryText: string;
  queryJson: string;
  createdAt: string;
  updatedAt: string;
}

/** What a layer says; never changed. */
export interface LayerVersionTable {
  workspace: string;
  name: string;
  version: number;
  priority: number;
  modulesJson: string;
}

/** The layers that a device has. */
export interface DeviceLayerTable {
  workspace: string;
  device: string;
  layer: string;
  version: number;
}

/** What lies below the layers of a device that has any. */
export interface DeviceBaseTable {
  workspace: string;
  device: string;
  modulesJson: string;
  /** Of the rollout that brought it. */
  windowsJson: string | null;
}

export interface LayerDatabase {
  layers: LayerTable;
  layerVersions: LayerVersionTable;
  deviceLayers: DeviceLayerTable;
  deviceBases: DeviceBaseTable;
}
