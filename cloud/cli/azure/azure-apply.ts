/** Makes what files of Azure ML v2 say: endpoints, then deployments, then who answers how much. */
import { AppError } from '#shared/kernel/errors.js';
import { formatReference } from '#shared/kernel/names.js';
import type { FlotillaClient } from '#cloud/client/flotilla-client.js';
import { routes } from '#cloud/client/routes.js';
import type { DeploymentBody, EndpointBody } from '#cloud/http/schemas/endpoints.js';
import type { ImageBody } from '#cloud/http/schemas/images.js';
import { followActivity } from '../activity-follow.js';
import type { Session } from '../session.js';
import { deploymentPatch, endpointPatch, trafficChange } from './azure-changes.js';
import type { AzureDeployment, AzureModel } from './azure-deployment.js';
import type { AzureEndpoint } from './azure-endpoint.js';

/** What the command line says in the place of the file. */
export interface AzureOverrides {
  /** name:version or digest, whatever model the file names. */
  readonly image?: string | undefined;
  readonly endpoint?: string | undefined;
}

export interface Applied {
  readonly value: object;
  readonly text: string;
}

/** Without its traffic: that is for deployments that may come only now. */
export async function applyEndpoint(client: FlotillaClient, wanted: AzureEndpoint): Promise<Applied> {
  const { name: endpoint, auth, description, tags } = wanted;
  const present = await endpointNow(client, endpoint);
  if (present === undefined) {
    const body = { name: endpoint, auth, ...(description === undefined ? {} : { description }), ...(tags && { tags }) };
    const made = await client.call(routes.endpointCreate, { body });
    return { value: { ...made, created: true }, text: `endpoint ${endpoint} is made` };
  }
  const body = endpointPatch(present, wanted);
  if (body === undefined) return { value: { ...present, created: false }, text: `endpoint ${endpoint} is so already` };
  const made = await client.call(routes.endpointPatch, { params: { endpoint }, body });
  return {
    value: { ...made, created: false },
    text: `endpoint ${endpoint} is changed: ${Object.keys(body).join(', ')}`,
  };
}

/** @returns undefined where nothing changes */
export async function applyTraffic(client: FlotillaClient, wanted: AzureEndpoint): Promise<Applied | undefined> {
  const { name: endpoint } = wanted;
  const body = trafficChange(await endpointNow(client, endpoint), wanted);
  if (body === undefined) return undefined;
  const { traffic, mirror } = await client.call(routes.endpointTraffic, { params: { endpoint }, body });
  const shares = Object.entries(traffic).map(([name, percent]) => `${name}=${String(percent)}`);
  const text = `traffic of ${endpoint}: ${shares.length === 0 ? 'none' : shares.join(' ')}`;
  return { value: { endpoint, traffic, mirror: mirror ?? null }, text };
}

export async function applyDeployment(
  session: Session,
  wanted: AzureDeployment,
  overrides: AzureOverrides,
): Promise<Applied> {
  const { client } = session;
  const { name: deployment, scale, request, liveness, readiness, collect, description, tags } = wanted;
  const endpoint = endpointOf(wanted, overrides);
  const image = await imageOf(client, wanted.model, overrides);
  const present = await deploymentNow(client, endpoint, deployment);
  const subject = `${endpoint}/${deployment}`;
  if (present === undefined) {
    const service = { scale, request, liveness, readiness, collect, description, tags };
    const body = { name: deployment, image: image.digest, ...service };
    const started = await client.call(routes.deploymentCreate, { params: { endpoint }, body });
    const ended = await followActivity(session, started);
    return { value: { ...ended, created: true }, text: `${subject} runs ${formatReference(image)}` };
  }
  const body = deploymentPatch(present, wanted, image.digest);
  if (body === undefined) return { value: { ...present, created: false }, text: `${subject} is so already` };
  const started = await client.call(routes.deploymentPatch, { params: { endpoint, deployment }, body });
  const ended = await followActivity(session, started);
  return { value: { ...ended, created: false }, text: `${subject} is changed: ${Object.keys(body).join(', ')}` };
}

/** @throws AppError `request.invalid` where neither the file nor the command line names one */
export function endpointOf({ name, endpoint }: AzureDeployment, overrides: AzureOverrides): string {
  const named = overrides.endpoint ?? endpoint;
  if (named !== undefined) return named;
  throw new AppError('request.invalid', `deployment ${name} names no endpoint_name: write it, or give --endpoint`);
}

/** @throws AppError `request.invalid`, `model.not-found`, `image.not-found` */
export async function imageOf(
  client: FlotillaClient,
  model: AzureModel | undefined,
  { image: reference }: AzureOverrides,
): Promise<ImageBody> {
  if (reference !== undefined) return client.call(routes.imageGet, { params: { reference } });
  if (model?.kind !== 'registered') {
    const named = model === undefined ? 'no model' : `a model that lies elsewhere (${model.text})`;
    throw new AppError(
      'request.invalid',
      `the file names ${named}: register it (flotilla model register), build its image (flotilla image build) and write azureml:<name>:<version>, or give --image <name:version>`,
    );
  }
  const wanted = `${model.name}:${String(await versionOf(client, model))}`;
  let cursor: string | undefined;
  do {
    // Newest first: of several images of one model the last that was built.
    const page = await client.piece(routes.imageList, { query: { cursor } }, 100);
    const found = page.items.find(({ models }) => models.includes(wanted));
    if (found !== undefined) return found;
    cursor = page.next;
  } while (cursor !== undefined);
  throw new AppError(
    'image.not-found',
    `no image carries the model ${wanted}: flotilla image build makes one, or give --image <name:version>`,
  );
}

async function versionOf(
  client: FlotillaClient,
  { name, version }: Extract<AzureModel, { kind: 'registered' }>,
): Promise<number> {
  if (version !== 'latest') return version;
  const [newest] = await client.list(routes.modelList, { query: { name } }, 1);
  if (newest !== undefined) return newest.version;
  throw new AppError('model.not-found', `there is no model ${name}: flotilla model list shows those there are`);
}

export function endpointNow(client: FlotillaClient, endpoint: string): Promise<EndpointBody | undefined> {
  return unlessMissing(() => client.call(routes.endpointGet, { params: { endpoint } }));
}

export function deploymentNow(
  client: FlotillaClient,
  endpoint: string,
  deployment: string,
): Promise<DeploymentBody | undefined> {
  return unlessMissing(() => client.call(routes.deploymentGet, { params: { endpoint, deployment } }));
}

async function unlessMissing<T>(ask: () => Promise<T>): Promise<T | undefined> {
  try {
    return await ask();
  } catch (error) {
    if (error instanceof AppError && /^(endpoint|deployment)\.not-found$/.test(error.code)) return undefined;
    throw error;
  }
}
