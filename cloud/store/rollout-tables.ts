/** The tables of rollouts, as Kysely sees them; in the control database, by the rules of `tables.ts`. */
import type { Generated } from 'kysely';
import type { ShadowDatabase } from './shadow-tables.js';
import type { RolloutState, Standing } from '#cloud/rollout/rollout-model.js';

/** A release on its way over a fleet: see `cloud/rollout/`. */
export interface RolloutTable {
  workspace: string;
  /** Counted within the workspace, from 1. */
  number: number;
  /** As name:version. */
  release: string;
  fleet: string;
  /** The fleet's query when it started. */
  queryJson: string;
  policyJson: string;
  state: RolloutState;
  stateJson: string;
  /** Rises with every change: who writes names the one that it read. */
  revision: number;
  createdAt: string;
  createdBy: string;
  updatedAt: string;
  endedAt: string | null;
}

/** Instants here are milliseconds since the epoch. */
export interface RolloutDeviceTable {
  workspace: string;
  rollout: number;
  device: string;
  wave: number;
  standing: Standing;
  attempts: number;
  /** The generation that carries what it was asked last, and the release of that; empty: modules that are no release. */
  generation: number | null;
  askedRelease: string;
  assignedAt: number | null;
  retryAt: number | null;
  endedAt: number | null;
  reasonJson: string | null;
  /** What it had before: where a rollback leads. */
  previousJson: string | null;
  /** 1 while no other rollout may have the device. */
  claimed: number;
  /** When the rollout asked for shadows on it; null: not yet. */
  shadowedAt: number | null;
}

export interface RolloutHistoryTable {
  id: Generated<number>;
  workspace: string;
  rollout: number;
  at: string;
  kind: string;
  device: string | null;
  text: string;
}

/** Instants here are milliseconds since the epoch. */
export interface FreezeTable {
  workspace: string;
  name: string;
  startsAt: number;
  endsAt: number;
  /** As it was written; empty: all devices. */
  whereText: string;
  /** As it was understood. */
  queryJson: string | null;
  reason: string;
  createdAt: string;
  createdBy: string;
}

/** An image that a device is to hold before it is asked to run it. */
export interface RolloutPrefetchTable {
  workspace: string;
  rollout: number;
  device: string;
  digest: string;
}

/** Of each wave the verdicts that it ended with. */
export interface RolloutGateTable {
  workspace: string;
  rollout: number;
  wave: number;
  gate: string;
  /** Empty where the gate is of no module. */
  module: string;
  at: string;
  /** GateVerdict. */
  verdictJson: string;
}

export interface RolloutDatabase extends ShadowDatabase {
  freezes: FreezeTable;
  rolloutPrefetches: RolloutPrefetchTable;
  rollouts: RolloutTable;
  rolloutDevices: RolloutDeviceTable;
  rolloutHistory: RolloutHistoryTable;
  rolloutGates: RolloutGateTable;
}
