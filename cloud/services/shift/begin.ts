/** Whether a shift can begin, and what it then is. Pure. */
import { AppError } from '#shared/kernel/errors.js';
import { nearest } from '#shared/kernel/names.js';
import type { Endpoint, ServiceDeployment } from '../control/endpoint-model.js';
import { requireDeployment } from '../control/traffic.js';
import type { Shift, ShiftMember } from './shift-model.js';
import { checkShiftPolicy, type ShiftPolicy } from './shift-policy.js';

export interface ShiftBegin {
  readonly endpoint: Pick<Endpoint, 'name' | 'traffic' | 'mirror'>;
  readonly deployments: readonly Pick<ServiceDeployment, 'name' | 'revision' | 'image'>[];
  /** The deployment that is to answer everything. */
  readonly to: string;
  readonly policy: ShiftPolicy;
  readonly now: number;
}

/** @throws AppError `request.invalid`, `deployment.not-found`, `endpoint.invalid` */
export function beginShift({ endpoint, deployments, to, policy, now }: ShiftBegin): Shift {
  checkShiftPolicy(policy);
  const { name, traffic, mirror } = endpoint;
  requireDeployment(
    name,
    to,
    deployments.map((one) => one.name),
  );
  const members = deployments.map(toMember);
  const target = members.find(({ deployment }) => deployment === to);
  if (target === undefined) throw new Error(`deployment ${to} was found and is not there`);
  requireRoom(name, traffic, to, policy);
  requireGateModule(target, policy);
  const others = members
    .filter(({ deployment }) => deployment !== to && (traffic[deployment] ?? 0) > 0)
    .sort((a, b) => (a.deployment < b.deployment ? -1 : 1));
  const weights = { traffic, ...(mirror === undefined ? {} : { mirror }) };
  return {
    ...{ state: 'running', target, others, before: weights, set: weights, stage: -1 },
    ...{ startedAt: now, stageStartedAt: now, countedFrom: now },
  };
}

function requireRoom(endpoint: string, traffic: Endpoint['traffic'], to: string, policy: ShiftPolicy): void {
  const own = traffic[to] ?? 0;
  if (Object.keys(traffic).length === 0) {
    throw invalid(
      `${endpoint} has no traffic that could be shifted: flotilla endpoint traffic ${endpoint} ${to}=100 gives it all at once`,
    );
  }
  if (own === 100) throw invalid(`${to} answers every request of ${endpoint} already`);
  const [first] = policy.steps;
  if (first !== undefined && first.percent <= own) {
    throw invalid(
      `${to} answers ${String(own)} percent of the requests of ${endpoint} already, and the first step gives it ${String(first.percent)}: begin above`,
    );
  }
  if (policy.mirror !== undefined && own > 0) {
    throw invalid(
      `${to} answers ${String(own)} percent of the requests of ${endpoint}: one that gets copies answers none; leave mirror out of the policy`,
    );
  }
}

/** A gate over a module that it does not have would hold for ever. */
function requireGateModule({ deployment, module }: ShiftMember, { gates = {} }: ShiftPolicy): void {
  for (const [gate, fields] of Object.entries(gates)) {
    const wanted = 'module' in fields ? fields.module : undefined;
    if (wanted === undefined || wanted === module) continue;
    const hint = nearest(wanted, [module]) === undefined ? `it is ${module}` : `did you mean "${module}"?`;
    throw new AppError(
      'request.invalid',
      `policy: gates.${gate}.module: the module of ${deployment} is not "${wanted}"; ${hint}`,
    );
  }
}

function toMember({ name, revision, image }: ShiftBegin['deployments'][number]): ShiftMember {
  return { deployment: name, revision, module: image.name, version: image.version, digest: image.digest };
}

function invalid(message: string): AppError {
  return new AppError('endpoint.invalid', message);
}
