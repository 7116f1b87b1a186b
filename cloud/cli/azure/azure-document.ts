/** Which documents are of Azure ML v2: by the schema that they name, or by fields that only those have. Pure. */
import { invalidFile, isMapping } from '../yaml-fields.js';
import { type AzureDeployment, readAzureDeployment } from './azure-deployment.js';
import { type AzureEndpoint, readAzureEndpoint } from './azure-endpoint.js';

export type AzureDocument =
  | { readonly kind: 'endpoint'; readonly endpoint: AzureEndpoint }
  | { readonly kind: 'deployment'; readonly deployment: AzureDeployment };

const schemas = /\/(?:managed|kubernetes|k8s)Online(Endpoint|Deployment)\.schema\.json$/i;

/** @returns undefined for a document of another form. @throws AppError `request.invalid` */
export function readAzureDocument(value: unknown, where: string): AzureDocument | undefined {
  switch (kindOf(value, where)) {
    case 'endpoint':
      return { kind: 'endpoint', endpoint: readAzureEndpoint(value, where) };
    case 'deployment':
      return { kind: 'deployment', deployment: readAzureDeployment(value, where) };
    case undefined:
      return undefined;
  }
}

function kindOf(value: unknown, where: string): AzureDocument['kind'] | undefined {
  if (!isMapping(value)) return undefined;
  const { $schema: schema, kind } = value;
  if (typeof schema === 'string') {
    const [, what] = schemas.exec(schema.trim()) ?? [];
    if (what !== undefined) return what.toLowerCase() === 'endpoint' ? 'endpoint' : 'deployment';
    throw invalidFile(
      where,
      `$schema ${schema.slice(0, 200)} is none of managedOnlineEndpoint, managedOnlineDeployment, kubernetesOnlineEndpoint and kubernetesOnlineDeployment`,
    );
  }
  // Their examples for Kubernetes name no schema.
  if (kind !== undefined) return undefined;
  if (Object.hasOwn(value, 'endpoint_name')) return 'deployment';
  return Object.hasOwn(value, 'auth_mode') ? 'endpoint' : undefined;
}
