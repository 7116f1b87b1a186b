/** OpenAPI 3.1 of one endpoint: the paths under its address, as the deployment that answers them takes and gives. Pure. */
import { modelPaths } from '#shared/scoring/host/faces/openapi/model-operations.js';
import { type Described, exampleOf } from '#shared/scoring/host/faces/openapi/model-schemas.js';
import { type FaultKey, faultSchemas } from '#shared/scoring/host/faces/openapi/responses.js';
import {
  exampleShape,
  flatExample,
  nestedExample,
  type Schema,
} from '#shared/scoring/host/faces/openapi/tensor-schemas.js';
import type { AuthMode } from '../control/endpoint-model.js';

export interface DescribedEndpoint {
  readonly name: string;
  readonly auth: AuthMode;
  /** Of the endpoint, without a path of a face; one without a host where none is known. */
  readonly url: string;
  readonly deployment: string;
  /** The module that the deployment runs, by which V2 names it. */
  readonly model: string;
  readonly version: number;
  readonly described: Described;
}

type Operation = Readonly<Record<string, unknown>> & { readonly responses: Readonly<Record<string, unknown>> };
type Paths = Readonly<Record<string, Readonly<Record<string, Operation>>>>;

const text = { 200: { description: 'Healthy', content: { 'text/plain': { schema: { type: 'string' } } } } };
const yes = (field: string): Schema => {
  return { type: 'object', required: [field], properties: { [field]: { type: 'boolean' } } };
};
const health = (summary: string, field: string): Record<string, Operation> => ({
  get: {
    summary,
    responses: { 200: { description: 'It does', content: { 'application/json': { schema: yes(field) } } } },
  },
});

export function endpointDocument(endpoint: DescribedEndpoint): object {
  const { name, auth, url, deployment, model, version, described } = endpoint;
  const own = modelPaths({ name: model, versions: [{ version: String(version), described }], only: true }) as Paths;
  const faced: Paths = {
    '/': { get: { summary: 'Whether a replica is up', responses: text } },
    ...Object.fromEntries(
      ['/score', `/v2/models/${model}`, `/v2/models/${model}/ready`, `/v2/models/${model}/infer`].map((path) => [
        path,
        withAnswer(own[path] ?? {}, answerExample(path, endpoint)),
      ]),
    ),
    '/v2/health/live': health('Whether a replica is up', 'live'),
    '/v2/health/ready': health('Whether a replica takes requests', 'ready'),
  };
  const paths = Object.fromEntries(
    Object.entries(faced).map(([path, operations]) => [
      path,
      Object.fromEntries(Object.entries(operations).map(([method, one]) => [method, asFronted(path, method, one)])),
    ]),
  );
  return {
    openapi: '3.1.0',
    info: {
      title: name,
      version: String(version),
      description: `Endpoint ${name}, as its deployment ${deployment} answers with ${model}:${String(version)}.`,
    },
    servers: [{ url }],
    security: auth === 'none' ? [] : [{ caller: [] }],
    paths,
    components: { schemas: faultSchemas, headers, securitySchemes: auth === 'none' ? {} : { caller: scheme(auth) } },
  };
}

function scheme(auth: Exclude<AuthMode, 'none'>): object {
  return auth === 'key'
    ? { type: 'http', scheme: 'bearer', description: 'One of the two keys of the endpoint' }
    : { type: 'http', scheme: 'bearer', bearerFormat: 'JWT', description: 'A token that was made for the endpoint' };
}

const headers = {
  'x-request-id': { description: "The caller's, or one that was given", schema: { type: 'string' } },
  'azureml-model-deployment': { description: 'Which deployment answered', schema: { type: 'string' } },
  'retry-after': { description: 'Seconds', schema: { type: 'integer', minimum: 0 } },
};
const headerOf = (name: keyof typeof headers): object => ({ $ref: `#/components/headers/${name}` });
const answerHeaders = {
  'x-request-id': headerOf('x-request-id'),
  'azureml-model-deployment': headerOf('azureml-model-deployment'),
};

/** Headers that any request may have. An id that cannot be one is no fault: another takes its place. */
const asked = [
  {
    ...{ name: 'azureml-model-deployment', in: 'header', required: false },
    description: 'The deployment that is to answer, whatever traffic it has',
    schema: { type: 'string', pattern: '^[a-z0-9][a-z0-9-]{0,62}$' },
  },
  {
    ...{ name: 'x-request-id', in: 'header', required: false },
    description: 'Comes back with the answer: 1 to 100 visible characters, else one is given',
    schema: { type: 'string' },
  },
];

/** What the front answers with itself, on every path. */
const frontFaults: Readonly<Record<number, string>> = {
  401: 'No key or token, or none of this endpoint',
  404: 'No such endpoint, deployment or path, or no deployment has traffic',
  408: 'No answer within the time of the deployment, or the body came too slowly',
  413: 'The body is larger than bodies may be',
  424: 'The replica failed, or was lost: ms-azureml-model-error-statuscode and -reason say how',
  429: 'As much is under way and waiting as may be: try again after Retry-After',
  503: 'No replica answers: try again after Retry-After',
};

function asFronted(path: string, method: string, operation: Operation): Operation {
  const key: FaultKey = path.startsWith('/v2') ? 'error' : 'message';
  const content = { 'application/json': { schema: { $ref: `#/components/schemas/${key}` } } };
  const faults = Object.entries(frontFaults).map(([status, description]) => {
    const again = status === '429' || status === '503' ? { 'retry-after': headerOf('retry-after') } : {};
    return [status, { description, headers: { 'x-request-id': headerOf('x-request-id'), ...again }, content }];
  });
  const answered = Object.entries(operation.responses).map(([status, answer]) => [
    status,
    { ...(answer as object), headers: answerHeaders },
  ]);
  const before = (operation['parameters'] as readonly object[] | undefined) ?? [];
  return {
    operationId: operationId(path, method),
    ...operation,
    parameters: [...before, ...asked],
    responses: Object.fromEntries([...answered, ...faults]) as Record<string, unknown>,
  };
}

function operationId(path: string, method: string): string {
  return [method, ...path.split(/[/-]/).filter((part) => part !== '')].join('-');
}

function answerExample(path: string, { model, version, described }: DescribedEndpoint): unknown {
  if (described === 'script') return undefined;
  if (path === '/score') return exampleOf(described.outputs, nestedExample);
  if (!path.endsWith('/infer')) return undefined;
  const outputs = described.outputs.map((output) => {
    const { name, datatype, shape } = output;
    return { name, datatype, shape: exampleShape(shape), data: flatExample(output) };
  });
  if (outputs.some(({ data }) => data === undefined)) return undefined;
  return { model_name: model, model_version: String(version), outputs };
}

/** The operations that have a body, with an example of what they answer. */
function withAnswer(operations: Readonly<Record<string, Operation>>, example: unknown): Record<string, Operation> {
  if (example === undefined) return operations;
  return Object.fromEntries(
    Object.entries(operations).map(([method, operation]) => {
      const done = operation.responses['200'] as { readonly content?: Record<string, object> } | undefined;
      const json = done?.content?.['application/json'];
      if (json === undefined) return [method, operation];
      const content = { ...done?.content, 'application/json': { ...json, example } };
      return [method, { ...operation, responses: { ...operation.responses, 200: { ...done, content } } }];
    }),
  );
}
