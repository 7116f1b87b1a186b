/**
 * The tables of the control database, as Kysely sees them. Every row belongs to a workspace.
 * Instants are ISO 8601 text, booleans 0 or 1, JSON is text in columns that end in `Json`.
 */
import type { Generated } from 'kysely';
import type { AuditRow } from '#cloud/audit/audit-entry.js';
import type { Role } from '#cloud/auth/role.js';
import type { ActivityDatabase } from './activity-tables.js';
import type { AlertDatabase } from './alert-tables.js';
import type { CommandDatabase } from './command-tables.js';
import type { LayerDatabase } from './layer-tables.js';
import type { ReleaseDatabase } from './release-tables.js';
import type { RolloutDatabase } from './rollout-tables.js';
import type { ScheduleDatabase } from './schedule-tables.js';
import type { ServiceDatabase } from './service-tables.js';
import type { StorageDatabase } from './storage-tables.js';

export interface WorkspaceTable {
  name: string;
  createdAt: string;
}

export interface TokenTable {
  id: string;
  /** Null: every workspace, the owner of the installation. */
  workspace: string | null;
  role: Role;
  name: string;
  /** SHA-256 of the secret half, hex. */
  secretHash: string;
  createdAt: string;
  /** The token or subject that made it; null: the control plane itself, at a start. */
  createdBy: string | null;
  expiresAt: string | null;
  lastUsedAt: string | null;
  revokedAt: string | null;
}

/** One row: from where to where the audit log reaches. */
export interface AuditChainTable {
  id: Generated<number>;
  anchorSequence: number;
  anchorHash: string;
  headSequence: number;
  headHash: string;
}

/** A change that is under way. */
export interface AuditIntentTable {
  id: string;
  eventJson: string;
  at: string;
}

/** Which workspace may read and reference a blob; the bytes are stored once for all. */
export interface BlobTable {
  workspace: string;
  digest: string;
  size: number;
  createdAt: string;
}

export interface ModelTable {
  workspace: string;
  name: string;
  version: number;
  description: string;
  tagsJson: string;
  propertiesJson: string;
  signatureJson: string;
  size: number;
  createdAt: string;
  deletedAt: string | null;
}

export interface ModelFileTable {
  workspace: string;
  name: string;
  version: number;
  position: number;
  path: string;
  digest: string;
  size: number;
}

export interface ImageTable {
  workspace: string;
  name: string;
  version: number;
  /** Digest of the OCI manifest. */
  digest: string;
  manifestSize: number;
  /** `index`: of variants, which are images themselves. */
  flavor: 'onnx' | 'node' | 'index';
  signatureDigest: string;
  signatureSize: number;
  keyIdsJson: string;
  tagsJson: string;
  size: number;
  createdAt: string;
  deletedAt: string | null;
}

/** Everything a device may fetch for an image: manifest, config, layers, signature. */
export interface ImageBlobTable {
  workspace: string;
  imageDigest: string;
  digest: string;
  mediaType: string;
  path: string;
  size: number;
  position: number;
}

export interface EnrolmentTokenTable {
  /** SHA-256 of the secret, hex. */
  secretHash: string;
  workspace: string;
  tagsJson: string;
  createdAt: string;
  expiresAt: string;
  usedAt: string | null;
  usedBy: string | null;
  /** SHA-256 of the public key that it was used with. */
  usedKey: Generated<string | null>;
  /** The only name that may enrol with it; null: any. */
  device: Generated<string | null>;
  /** Names of tags that the device may set itself. */
  allowTagsJson: Generated<string>;
  /** Takes the name over from the device that has, or had, it. */
  replaces: Generated<number>;
}

/** What a device proves itself with. Accepted while it is not revoked and has not ended. */
export interface DeviceCertificateTable {
  workspace: string;
  device: string;
  /** Hex, as X.509 has it. */
  serial: string;
  /** SHA-256 of the certificate's DER, hex. */
  fingerprint: string;
  /** SHA-256 of the public key's DER, hex. */
  keyFingerprint: string;
  /** SHA-256 of the certificate of who signed it, hex. */
  authority: string;
  /** PEM, and what stands between it and the authority. */
  certificate: string;
  issuedAt: string;
  notAfter: string;
  revokedAt: string | null;
  reason: string | null;
}

/** Lets many devices in: counted, slowed down and, where it says so, one by one by approval. */
export interface FleetClaimTable {
  workspace: string;
  name: string;
  /** SHA-256 of the secret, hex. */
  secretHash: string;
  tagsJson: string;
  allowTagsJson: string;
  /** `cam-{hardware}`; null: devices name themselves. */
  nameTemplate: string | null;
  maxDevices: number;
  approval: number;
  ratePerSecond: number;
  /** May only hardware of `claimHardware` come? */
  hardwareListed: number;
  createdAt: string;
  expiresAt: string;
  revokedAt: string | null;
}

export interface ClaimHardwareTable {
  workspace: string;
  claim: string;
  hardwareId: string;
  /** The key that came from it. */
  keyFingerprint: string | null;
}

/** One device that came with a claim; every state but `rejected` takes one of the claim's places. */
export interface ClaimRequestTable {
  workspace: string;
  claim: string;
  keyFingerprint: string;
  id: string;
  device: string;
  hardwareId: string | null;
  state: 'pending' | 'approved' | 'rejected' | 'enrolled';
  requestedAt: string;
  decidedAt: string | null;
  reason: string | null;
}

export interface DeviceTable {
  workspace: string;
  name: string;
  /** A raw X25519 public key, base64url. */
  sealingKey: string;
  tagsJson: string;
  enrolledAt: string;
  retiredAt: string | null;
  online: number;
  presenceAt: string | null;
  presenceBootId: number;

  /** The twin, desired side. `desiredEnvelope` is what the director signed; null before the first deployment. */
  desiredGeneration: number;
  desiredEnvelope: string | null;
  desiredExpiresAt: string | null;

  /** The twin, reported side. */
  reportedJson: string;
  reportedBootId: number;
  reportedSequence: number;
  reportedAt: string | null;
  /** The generation that it last said it runs as asked; -1: it does not say so of any. */
  convergedGeneration: Generated<number>;
  /** The release that its desired modules are, as name:version; empty where they are none. */
  desiredRelease: Generated<string>;
  /** Which form its rows of `deviceFacts` have; 0: there are none yet. */
  factsVersion: Generated<number>;
}

/** One thing that is known of a device, for queries: see `cloud/fleet/query/facts.ts`. */
export interface DeviceFactTable {
  workspace: string;
  device: string;
  name: string;
  text: string | null;
  number: number | null;
}

/** A saved query; who is in it is asked anew each time. */
export interface FleetTable {
  workspace: string;
  name: string;
  description: string;
  /** As it was written, and as it was understood then. */
  queryText: string;
  queryJson: string;
  createdAt: string;
  updatedAt: string;
}

/** A model version made to answer: as a module of a device, or behind an endpoint. A row is never used anew. */
export interface DeploymentTable {
  id: string;
  workspace: string;
  kind: 'iot-module' | 'web-service';
  /** Of a module of a device; else null. */
  device: string | null;
  module: string | null;
  imageDigest: string;
  settingsJson: string;
  policyJson: string;
  updateJson: string;
  /** What takes the place of routes of the image. */
  routesJson: Generated<string>;
  /** Modules that answer before it starts. */
  startAfterJson: Generated<string>;
  /** The first generation, of the device or of the services' document, that carries it, and the first that no longer does. */
  generation: number;
  removedGeneration: number | null;
  createdAt: string;
  /** Of a web service: its endpoint's id, and its name there; else null. */
  endpoint: Generated<string | null>;
  name: Generated<string | null>;
  /** Rises with each row of one name at one endpoint, and never falls. */
  revision: Generated<number>;
  /** Of a web service: `ServiceSettings`. */
  serviceJson: Generated<string>;
}

/** What must reach the broker, written in the transaction that made it true. Newest row of a topic wins. */
export interface OutboxTable {
  id: Generated<number>;
  workspace: string;
  topic: string;
  payload: string;
  qos: number;
  retain: number;
  createdAt: string;
}

/** One version of a workspace's trust document. */
export interface TrustVersionTable {
  workspace: string;
  version: number;
  /** As publishers signed it. */
  envelope: string;
  publishedAt: string;
}

export interface ControlDatabase
  extends ActivityDatabase,
    AlertDatabase,
    CommandDatabase,
    LayerDatabase,
    ReleaseDatabase,
    RolloutDatabase,
    ScheduleDatabase,
    ServiceDatabase,
    StorageDatabase {
  workspaces: WorkspaceTable;
  tokens: TokenTable;
  auditEntries: AuditRow;
  auditChain: AuditChainTable;
  auditIntents: AuditIntentTable;
  blobs: BlobTable;
  models: ModelTable;
  modelFiles: ModelFileTable;
  images: ImageTable;
  imageBlobs: ImageBlobTable;
  enrolmentTokens: EnrolmentTokenTable;
  devices: DeviceTable;
  deviceCertificates: DeviceCertificateTable;
  fleetClaims: FleetClaimTable;
  claimHardware: ClaimHardwareTable;
  claimRequests: ClaimRequestTable;
  deployments: DeploymentTable;
  outbox: OutboxTable;
  trustVersions: TrustVersionTable;
  deviceFacts: DeviceFactTable;
  fleets: FleetTable;
}
