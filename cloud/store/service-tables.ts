/** The tables of web services but for their deployments, which stand beside those of devices; by the rules of `tables.ts`. */
import type { Generated } from 'kysely';
import type { ShiftDatabase } from './shift-tables.js';

export interface EndpointTable {
  /** Never given again, unlike the name. */
  id: string;
  workspace: string;
  name: string;
  authMode: 'key' | 'token' | 'none';
  /** Which key of each slot counts: see `cloud/services/control/endpoint-keys.ts`. */
  primaryVersion: number;
  secondaryVersion: number;
  /** Percent by deployment, without those that get none. */
  trafficJson: string;
  mirrorJson: string | null;
  description: string;
  tagsJson: string;
  /** Of the services' document, at its last change. */
  generation: number;
  createdAt: string;
  createdBy: string;
  updatedAt: string;
  deletedAt: string | null;
}

/** One row: what the service host is to run. */
export interface ServicesTable {
  id: Generated<number>;
  generation: number;
  /** `DesiredServices`; empty before the first. */
  documentJson: string;
}

export interface ServiceDatabase extends ShiftDatabase {
  endpoints: EndpointTable;
  services: ServicesTable;
}
