/** Endpoints and deployments in words. Pure. */
import type { DeploymentBody, EndpointBody, EndpointStatusBody } from '#cloud/http/schemas/endpoints.js';
import { sandboxText } from '#shared/protocol/sandbox.js';
import type { PlacedDeploymentBody } from '#cloud/http/schemas/placed-deployments.js';
import type { Scale } from '#cloud/services/desired-services.js';
import type { DeploymentStatus } from '#cloud/services/services-status.js';
import { describeCollect } from './collect-arguments.js';
import type { ShiftBody } from '#cloud/http/schemas/shifts.js';
import { agreementText, type MirrorAgreement } from './mirror-agreement.js';
import { openShiftText } from './shift-text.js';
import { formatAge, formatFields, formatList, formatTable, formatTags, shortDigest } from './output.js';

export function describeTraffic({ traffic }: Pick<EndpointBody, 'traffic'>): string {
  const parts = Object.entries(traffic).map(([name, percent]) => `${name}=${String(percent)}`);
  return parts.length === 0 ? 'none: only requests that name a deployment are answered' : parts.join(' ');
}

export interface EndpointMore {
  readonly agreement?: MirrorAgreement | undefined;
  /** One that is under way. */
  readonly shift?: ShiftBody | undefined;
}

export function describeEndpoint(
  endpoint: EndpointBody,
  status?: EndpointStatusBody,
  { agreement, shift }: EndpointMore = {},
): string {
  const { mirror } = endpoint;
  return formatFields([
    ['endpoint', endpoint.name],
    ['auth', endpoint.auth],
    ['traffic', describeTraffic(endpoint)],
    ['mirror', mirror && describeMirror(mirror)],
    ['agreement', agreement && agreementText(agreement)],
    ['shift', shift && openShiftText(shift)],
    ['address', status?.scoreUrl],
    ['description', endpoint.description === '' ? undefined : endpoint.description],
    ['tags', Object.keys(endpoint.tags).length === 0 ? undefined : formatTags(endpoint.tags)],
    ['id', endpoint.id],
    ['replicas', status && ranAs(status)],
    ['user code', status?.sandbox && sandboxText(status.sandbox)],
    ['waits', status && waitOf(status)],
  ]);
}

export function describeMirror({ deployment, percent, compare }: NonNullable<EndpointBody['mirror']>): string {
  return `${deployment}=${String(percent)}${compare === undefined ? '' : `, compared by ${compare.kind}`}`;
}

/** What runs now: `processes`, `containers (podman)`. */
function ranAs({ deployments }: EndpointStatusBody): string | undefined {
  const all = deployments.flatMap(({ replicas }) => replicas.flatMap(({ process = '' }) => process));
  const engines = all.flatMap((one) => /^container \S+ \((.*)\)$/.exec(one)?.slice(1) ?? []);
  const kinds = [
    ...(all.some((one) => one.startsWith('process ')) ? ['processes'] : []),
    ...[...new Set(engines)].map((engine) => `containers (${engine})`),
  ];
  return kinds.length === 0 ? undefined : kinds.join(', ');
}

/** Why what is asked for may not be so yet. */
function waitOf({ problem, served, generation }: EndpointStatusBody): string | undefined {
  if (problem !== undefined) return problem.message;
  if (served === undefined) return 'no service host runs yet: it starts with the first endpoint';
  return served < generation ? 'the service host has not taken the last change yet' : undefined;
}

export function describeDeployments(deployments: readonly DeploymentBody[], status: EndpointStatusBody): string {
  return formatTable(
    ['DEPLOYMENT', 'IMAGE', 'TRAFFIC', 'STATE', 'REPLICAS', 'REQUESTS', 'ERRORS', 'P99'],
    deployments.map((deployment) => {
      const { name, image, traffic, mirror, scale } = deployment;
      const found = status.deployments.find((one) => one.name === name);
      const { requests, errors, p99Ms } = found?.numbers ?? {};
      return [
        name,
        `${image.name}:${String(image.version)}`,
        mirror > 0 ? `mirror ${String(mirror)}%` : `${String(traffic)}%`,
        found?.state ?? '-',
        found === undefined ? describeScale(scale) : readyOf(found),
        requests === undefined ? '-' : String(requests),
        errors === undefined ? '-' : String(errors),
        p99Ms === undefined ? '-' : `${p99Ms.toFixed(1)} ms`,
      ];
    }),
  );
}

export function describeDeployment(deployment: DeploymentBody, status: EndpointStatusBody): string {
  const { image, request, description, tags, settings } = deployment;
  const found = status.deployments.find(({ name }) => name === deployment.name);
  const fields = formatFields([
    ['deployment', `${deployment.endpoint}/${deployment.name}`],
    ['image', `${image.name}:${String(image.version)} ${shortDigest(image.digest)}`],
    ['revision', String(deployment.revision)],
    ['traffic', `${String(deployment.traffic)}%`],
    ['mirror', deployment.mirror === 0 ? undefined : `${String(deployment.mirror)}%`],
    ['replicas', describeScale(deployment.scale)],
    [
      'requests',
      `${String(request.maxConcurrentPerReplica)} at once a replica, ${String(request.timeoutMs)} ms at most`,
    ],
    ['collects', deployment.collect ? describeCollect(deployment.collect) : undefined],
    ['settings', Object.keys(settings).length === 0 ? undefined : JSON.stringify(settings)],
    ['description', description === '' ? undefined : description],
    ['tags', Object.keys(tags).length === 0 ? undefined : formatTags(tags)],
    ['state', found && `${found.state}, ${readyOf(found)} ready`],
    ['problem', found?.problem?.message],
  ]);
  if (found === undefined || found.replicas.length === 0) return fields;
  const rows = found.replicas.map((one) => {
    const { id, revision, state, process = '-', restarts, problem } = one;
    return [id, String(revision), state, process, String(restarts), problem?.message ?? ''];
  });
  return `${fields}${formatTable(['REPLICA', 'REVISION', 'STATE', 'PROCESS', 'RESTARTS', 'PROBLEM'], rows)}`;
}

/** Of both kinds. */
export function describePlaced(items: readonly PlacedDeploymentBody[], nowMs: number): string {
  return formatList(
    items,
    ['KIND', 'WHERE', 'NAME', 'IMAGE', 'SINCE'],
    (item) => {
      const { kind, image, createdAt } = item;
      const [where, name] = item.kind === 'web-service' ? [item.endpoint, item.name] : [item.device, item.module];
      return [kind, where, name, `${image.name}:${String(image.version)}`, formatAge(createdAt, nowMs)];
    },
    'nothing is deployed; flotilla deploy <image> --device <device>, or flotilla deployment create <name> --endpoint <endpoint>',
  );
}

export function describeScale(scale: Scale): string {
  return scale.kind === 'fixed' ? String(scale.replicas) : `${String(scale.min)} to ${String(scale.max)}`;
}

function readyOf({ replicas, wantedReplicas }: DeploymentStatus): string {
  return `${String(replicas.filter(({ state }) => state === 'ready').length)}/${String(wantedReplicas)}`;
}
