/** What is asked to be deployed, and where: what people and rollouts say of modules. */
import type { Desired, RestartPolicy, UpdatePolicy } from '#shared/protocol/desired.js';
import type { RouteOverrides } from '#shared/protocol/route.js';
import type { Beneath } from './layers/device-layers.js';
import type { ReleasedModule } from './release-plan.js';

export interface ModuleDeployment {
  /** `name:version` or a manifest digest. */
  readonly image: string;
  readonly settings: Desired['modules'][string]['settings'];
  readonly policy: RestartPolicy;
  /** Absent: the usual, without a probation. */
  readonly update?: UpdatePolicy;
  /** What takes the place of routes of the image. */
  readonly routes?: RouteOverrides | undefined;
}

/** A release, as far as deploying it asks. */
export interface ReleaseDeployment {
  readonly name: string;
  readonly version: number;
  readonly atomic: boolean;
  readonly modules: readonly ReleasedModule[];
}

/** All that a device is to run. */
export interface DeployedSet extends Pick<ReleaseDeployment, 'modules' | 'atomic'> {
  /** In the place of those that each module says, layers included. */
  readonly windows?: ReleasedModule['update']['windows'];
  /** Where the modules are what the device had, layers included: what lay below them. Absent: layers of now go over. */
  readonly beneath?: Beneath | undefined;
}

/** What one change deploys, by module. */
export type ModuleDeployments = Readonly<Record<string, ModuleDeployment>>;

/** Modules of one deployment; each leaves the group when it is deployed anew. */
export function groupOf(generation: number): string {
  return `g${String(generation)}`;
}
