/** Writes down what nobody asked for, and what people wait for. */
import type { Logger } from '#shared/platform/logger.js';
import { replicaId } from './front-table-of.js';
import type { ObservedServices, ServiceFact } from './observed.js';

/** @param observed after the fact */
export function logFact(logger: Logger, fact: ServiceFact, { replicas }: ObservedServices): void {
  if (fact.kind !== 'exited' && fact.kind !== 'ready' && fact.kind !== 'unready') return;
  const one = replicas.find(({ sequence }) => sequence === fact.sequence);
  if (one === undefined) return;
  const { endpoint, deployment, revision, restarts } = one;
  const of = { replica: replicaId(one), endpoint, deployment, revision, restarts };
  if (fact.kind === 'ready') logger.info(of, 'a replica is ready');
  else logger.warn({ ...of, problem: fact.problem }, 'a replica does not answer');
}
