/**
 * What the front works by: which endpoints there are, who may call them, and which replicas answer. The service host
 * makes it from the desired document and from the states of its replicas, and hands in a new one whenever either changes.
 */
import type { ImageReference } from '#shared/protocol/desired.js';
import type { EndpointAuth, RequestSettings } from '../desired-services.js';

export interface FrontTable {
  readonly endpoints: readonly FrontEndpoint[];
}

export interface FrontEndpoint {
  /** Never used again, unlike the name; `aud` of its tokens. */
  readonly id: string;
  readonly workspace: string;
  readonly name: string;
  readonly auth: EndpointAuth;
  /** Percent by deployment; those that are not named have 0. */
  readonly traffic: Readonly<Record<string, number>>;
  readonly mirror?: { readonly deployment: string; readonly percent: number };
  readonly deployments: readonly FrontDeployment[];
}

/** What numbers are told of: `name` is the module's. */
export type FrontImage = Pick<ImageReference, 'name' | 'version' | 'digest'>;

export interface FrontDeployment {
  readonly name: string;
  readonly revision: number;
  /** What it is to run: of requests that no replica took. Absent: those are told of no image. */
  readonly image?: FrontImage;
  readonly request: RequestSettings;
  /** It scales to zero: how long a request may wait for its first replica. Undefined: it does not, and is refused at once. */
  readonly firstRequestWaitMs?: number;
  readonly replicas: readonly FrontReplica[];
}

export interface FrontReplica {
  /** Unique among all replicas of the service host, and never used again. */
  readonly id: string;
  readonly address: ReplicaAddress;
  /** `draining`: it gets no new request and goes on with those that it has. */
  readonly state: 'ready' | 'draining';
  /** What it runs; absent: what its deployment is to run. */
  readonly image?: FrontImage;
}

export type ReplicaAddress = { readonly socketPath: string } | { readonly host: string; readonly port: number };
