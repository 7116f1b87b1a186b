/** Who gets which requests of an endpoint: what may be asked for. Pure. */
import { AppError } from '#shared/kernel/errors.js';
import { nearest } from '#shared/kernel/names.js';
import type { Mirror, Traffic } from './endpoint-model.js';

/** @returns the weights without zeros. @throws AppError `deployment.not-found`, `endpoint.invalid` */
export function checkTraffic(
  endpoint: string,
  deployments: readonly string[],
  traffic: Traffic,
  mirror: Mirror | undefined,
): Traffic {
  for (const name of Object.keys(traffic)) requireDeployment(endpoint, name, deployments);
  const live = Object.entries(traffic).filter(([, percent]) => percent > 0);
  const sum = live.reduce((total, [, percent]) => total + percent, 0);
  if (sum !== 0 && sum !== 100) {
    const written = live.map(([name, percent]) => `${name}=${String(percent)}`).join(' ');
    throw invalid(`the traffic of ${endpoint} adds up to ${String(sum)} (${written}): make it 100, or 0 for none`);
  }
  if (mirror !== undefined) checkMirror(endpoint, deployments, Object.fromEntries(live), mirror);
  return Object.fromEntries(live.sort(([a], [b]) => (a < b ? -1 : 1)));
}

function checkMirror(endpoint: string, deployments: readonly string[], traffic: Traffic, mirror: Mirror): void {
  const { deployment, percent } = mirror;
  requireDeployment(endpoint, deployment, deployments);
  if (percent < 1 || percent > 50) {
    throw invalid(`a mirror gets 1 to 50 percent of the requests, not ${String(percent)}`);
  }
  if (Object.hasOwn(traffic, deployment)) {
    throw invalid(
      `${deployment} answers ${String(traffic[deployment])} percent of the requests of ${endpoint} itself: a mirror has no traffic of its own`,
    );
  }
}

/** @throws AppError `deployment.in-use` while requests reach it */
export function requireIdle(endpoint: string, name: string, traffic: Traffic, mirror: Mirror | undefined): void {
  const percent = traffic[name] ?? 0;
  if (percent > 0) {
    throw new AppError(
      'deployment.in-use',
      `${name} answers ${String(percent)} percent of the requests of ${endpoint}: move them first, flotilla endpoint traffic ${endpoint} <other>=100, or let nobody answer them, ${name}=0`,
    );
  }
  if (mirror?.deployment === name) {
    throw new AppError(
      'deployment.in-use',
      `${name} gets copies of the requests of ${endpoint}: end that first, flotilla endpoint traffic ${endpoint} --mirror none`,
    );
  }
}

export function requireDeployment(endpoint: string, name: string, deployments: readonly string[]): void {
  if (deployments.includes(name)) return;
  const near = nearest(name, deployments);
  const help = near === undefined ? `flotilla deployment list --endpoint ${endpoint}` : `did you mean ${near}?`;
  throw new AppError('deployment.not-found', `${endpoint} has no deployment ${name}: ${help}`);
}

function invalid(message: string): AppError {
  return new AppError('endpoint.invalid', message);
}
