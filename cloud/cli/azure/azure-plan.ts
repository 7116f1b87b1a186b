/** What a file of Azure ML v2 would change. Asks, and changes nothing. */
import { formatReference } from '#shared/kernel/names.js';
import type { FlotillaClient } from '#cloud/client/flotilla-client.js';
import { type AzureOverrides, deploymentNow, endpointNow, endpointOf, imageOf } from './azure-apply.js';
import { deploymentPatch, endpointPatch, trafficChange } from './azure-changes.js';
import type { AzureDocument } from './azure-document.js';

export interface AzurePlan {
  readonly name: string;
  readonly changes: boolean;
  readonly text: string;
}

export async function planAzure(
  client: FlotillaClient,
  document: AzureDocument,
  overrides: AzureOverrides,
): Promise<AzurePlan> {
  if (document.kind === 'endpoint') {
    const { name } = document.endpoint;
    const present = await endpointNow(client, name);
    const traffic = Object.keys(trafficChange(present, document.endpoint) ?? {});
    if (present === undefined) return { name, changes: true, text: `endpoint ${name} is new` };
    const fields = [...Object.keys(endpointPatch(present, document.endpoint) ?? {}), ...traffic];
    return told(`endpoint ${name}`, name, fields);
  }
  const { deployment } = document;
  const name = `${endpointOf(deployment, overrides)}/${deployment.name}`;
  const image = await imageOf(client, deployment.model, overrides);
  const present = await deploymentNow(client, endpointOf(deployment, overrides), deployment.name);
  if (present === undefined) {
    return { name, changes: true, text: `deployment ${name} is new, and would run ${formatReference(image)}` };
  }
  return told(`deployment ${name}`, name, Object.keys(deploymentPatch(present, deployment, image.digest) ?? {}));
}

function told(what: string, name: string, fields: readonly string[]): AzurePlan {
  const text = fields.length === 0 ? `${what} is so already` : `${what} would change: ${fields.join(', ')}`;
  return { name, changes: fields.length > 0, text };
}
