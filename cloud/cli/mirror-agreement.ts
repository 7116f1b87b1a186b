/** How answers of a mirror agree with the live ones, of what deployments with traffic told lately. */
import type { FlotillaClient } from '#cloud/client/flotilla-client.js';
import { routes } from '#cloud/client/routes.js';
import type { EndpointBody } from '#cloud/http/schemas/endpoints.js';
import { mirrorTag } from '#cloud/services/service-source.js';
import { shareText } from './shadow-text.js';

export interface MirrorAgreement {
  /** Of the mirrored deployment. */
  readonly deployment: string;
  readonly sinceSeconds: number;
  compared: number;
  agreed: number;
  uncompared: number;
  /** Requests that only the mirrored one failed on. */
  errors: number;
  dropped: number;
}

const sinceSeconds = 3600;

/** Undefined where nothing is mirrored. */
export async function readAgreement(
  client: FlotillaClient,
  { name: endpoint, mirror, traffic }: EndpointBody,
): Promise<MirrorAgreement | undefined> {
  if (mirror === undefined) return undefined;
  const { deployment } = mirror;
  const sum = { deployment, sinceSeconds, compared: 0, agreed: 0, uncompared: 0, errors: 0, dropped: 0 };
  for (const live of Object.keys(traffic)) {
    const params = { endpoint, deployment: live };
    const { modules } = await client.call(routes.deploymentTelemetry, { params, query: { sinceSeconds } });
    for (const shadow of modules.flatMap(({ shadows = [] }) => shadows)) {
      if (shadow.tag !== mirrorTag(deployment)) continue;
      sum.compared += shadow.compared;
      sum.agreed += shadow.agreed;
      sum.uncompared += shadow.uncompared;
      sum.errors += shadow.shadowErrors;
      sum.dropped += shadow.dropped;
    }
  }
  return sum;
}

export function agreementText({ compared, agreed, uncompared, errors, dropped }: MirrorAgreement): string {
  const rest = [
    ...(uncompared > 0 ? [`${String(uncompared)} could not be compared`] : []),
    ...(errors > 0 ? [`${String(errors)} it alone failed on`] : []),
    ...(dropped > 0 ? [`${String(dropped)} dropped`] : []),
  ];
  const head =
    compared === 0
      ? 'nothing was compared in the last hour'
      : `${shareText(agreed, compared)} of ${String(compared)} answers in the last hour`;
  return [head, ...rest].join(', ');
}
