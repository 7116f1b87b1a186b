/** What the front works by, from what is desired and how replicas fare. Pure. */
import type { DesiredServices } from '../desired-services.js';
import type { FrontImage, FrontReplica, FrontTable, ReplicaAddress } from '../front/front-table.js';
import { grouped, keyOf, type ObservedReplica } from './observed.js';

export interface AddressedReplica extends ObservedReplica {
  /** Undefined while it starts. */
  readonly address: ReplicaAddress | undefined;
  /** What it runs. */
  readonly image: FrontImage | undefined;
}

export function replicaId({ sequence }: Pick<ObservedReplica, 'sequence'>): string {
  return `r${String(sequence)}`;
}

/** A replica that was started again is another one to the front. */
export function runId(one: Pick<ObservedReplica, 'sequence' | 'restarts'>): string {
  return `${replicaId(one)}.${String(one.restarts)}`;
}

export function frontTableOf(desired: DesiredServices | undefined, replicas: readonly AddressedReplica[]): FrontTable {
  const byKey = grouped(
    replicas.toSorted((a, b) => a.sequence - b.sequence),
    keyOf,
  );
  return {
    endpoints: (desired?.endpoints ?? []).map(({ deployments, mirror, ...endpoint }) => ({
      ...endpoint,
      ...(mirror === undefined ? {} : { mirror }),
      deployments: deployments.map(({ name, revision, request, scale, image }) => ({
        ...{ name, revision, request, image: imageOf(image) },
        ...(scale.kind === 'auto' && scale.min === 0 ? { firstRequestWaitMs: scale.firstRequestWaitMs } : {}),
        replicas: (byKey.get(keyOf({ endpoint: endpoint.id, deployment: name })) ?? []).flatMap(frontReplicas),
      })),
    })),
  };
}

function frontReplicas(one: AddressedReplica): FrontReplica[] {
  const { state, address, image } = one;
  if (address === undefined || (state !== 'ready' && state !== 'unready' && state !== 'draining')) return [];
  // What is not ready for a while ends what it has, and gets nothing new.
  const told = image === undefined ? {} : { image: imageOf(image) };
  return [{ id: runId(one), address, state: state === 'ready' ? 'ready' : 'draining', ...told }];
}

function imageOf({ name, version, digest }: FrontImage): FrontImage {
  return { name, version, digest };
}
