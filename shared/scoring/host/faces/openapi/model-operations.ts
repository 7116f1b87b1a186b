/** The operations of one module, on each face, under the paths that it has in this host. */
import type { TensorSignature } from '../../../codec/tensor.js';
import {
  type Described,
  exampleOf,
  inferRequestExample,
  inferRequestSchema,
  inferResponseSchema,
  plainSchema,
  predictRequestSchema,
  predictResponseSchema,
} from './model-schemas.js';
import { body, type FaultKey, faults, json, scriptAnswers } from './responses.js';
import { nestedExample, nestedSchema, type Schema } from './tensor-schemas.js';

export interface DescribedModule {
  readonly name: string;
  /** Ready ones, the newest first. */
  readonly versions: readonly { readonly version: string; readonly described: Described }[];
  /** Whether it is the only one here, and answers at `/score` too. */
  readonly only: boolean;
}

type Paths = Record<string, Record<string, object>>;

/** Beside what the face itself adds. */
const scoringFaults = [400, 404, 408, 413, 415, 500, 503];

export function modelPaths({ name, versions, only }: DescribedModule): Paths {
  const [newest] = versions;
  if (!newest) return {};
  const paths: Paths = { ...v2Paths(`/v2/models/${name}`, newest.described) };
  for (const { version, described } of versions) {
    Object.assign(paths, v2Paths(`/v2/models/${name}/versions/${version}`, described));
  }
  paths[`/v2/models/${name}/openapi.json`] = {
    get: { summary: 'This document', responses: { ...json({ type: 'object' }), ...faults('error', [404, 503]) } },
  };
  paths[`/v1/models/${name}`] = {
    get: { summary: 'Whether the model is ready', responses: { ...json(readySchema), ...faults('error', [404, 503]) } },
  };
  paths[`/v1/models/${name}:predict`] = { post: predict(newest.described) };
  for (const path of only ? ['/score', `/score/${name}`] : [`/score/${name}`]) paths[path] = score(newest.described);
  return paths;
}

const readySchema: Schema = {
  type: 'object',
  required: ['name', 'ready'],
  properties: { name: { type: 'string' }, ready: { type: 'boolean' } },
};

function v2Paths(base: string, described: Described): Paths {
  const found = faults('error', [404, 503]);
  return {
    [base]: { get: { summary: 'Name, versions and tensors', responses: { ...json(metadataSchema), ...found } } },
    [`${base}/ready`]: { get: { summary: 'Whether it is ready', responses: { ...json(readySchema), ...found } } },
    [`${base}/stats`]: {
      get: { summary: 'What it did since it was loaded', responses: { ...json(statisticsSchema), ...found } },
    },
    [`${base}/infer`]: { post: infer(described) },
  };
}

function infer(described: Described): object {
  const summary = 'Inference; tensors in JSON, or binary after it with Inference-Header-Content-Length';
  const answers = described === 'script' ? scriptAnswers : jsonOrBinary(inferResponseSchema(described));
  return {
    summary,
    ...body(inferRequestSchema(described), inferRequestExample(described)),
    responses: { ...answers, ...scored('error', []) },
  };
}

/** Binary where the request asks for it. */
function jsonOrBinary(schema: Schema): Record<string, unknown> {
  const binary = { schema: { type: 'string', format: 'binary' } };
  return {
    200: {
      description: 'The outputs',
      content: { 'application/json': { schema }, 'application/octet-stream': binary },
    },
  };
}

function predict(described: Described): object {
  const answers = described === 'script' ? scriptAnswers : json(predictResponseSchema);
  const example = described === 'script' ? undefined : exampleOf(described.inputs, nestedExample);
  return {
    summary: 'Predictions for rows (instances) or whole inputs (inputs)',
    ...body(predictRequestSchema(described), example && { inputs: example }),
    responses: { ...answers, ...scored('error', [429, 504]) },
  };
}

function score(described: Described): Record<string, object> {
  const responses = {
    ...(described === 'script' ? scriptAnswers : json(described.outputs.length === 0 ? {} : { type: 'object' })),
    ...scored('message', [429, 431, 504]),
  };
  if (described === 'script') {
    return {
      get: { summary: 'The script, on the values of the query', responses },
      post: { summary: 'The script, on the body', ...body({}, undefined, false), responses },
      options: allowed,
    };
  }
  // The plain form, or a request of V2, which is answered in kind.
  const plain = plainSchema(described.inputs);
  const schema = described.inputs.length === 0 ? {} : { anyOf: [plain, inferRequestSchema(described)] };
  return {
    get: {
      summary: 'The model, on the values of the query',
      parameters: described.inputs.map(queryParameter),
      responses,
    },
    post: {
      summary: 'The model, on nested arrays by name',
      ...body(schema, plain['example']),
      responses: { ...responses, ...jsonOrBinary({ type: 'object' }) },
    },
    options: allowed,
  };
}

const allowed = {
  summary: 'What is allowed',
  responses: { 200: { description: 'In the Allow header' }, ...faults('message', [431]) },
};

function queryParameter(input: TensorSignature): object {
  return {
    name: input.name,
    in: 'query',
    required: true,
    content: { 'application/json': { schema: nestedSchema(input) } },
  };
}

function scored(key: FaultKey, more: readonly number[]): Record<string, unknown> {
  return faults(key, [...scoringFaults, ...more]);
}

const metadataSchema: Schema = {
  type: 'object',
  required: ['name', 'versions', 'platform', 'inputs', 'outputs'],
  properties: {
    name: { type: 'string' },
    versions: { type: 'array', items: { type: 'string' } },
    platform: { type: 'string' },
    inputs: { type: 'array' },
    outputs: { type: 'array' },
  },
};

export const statisticsSchema: Schema = {
  type: 'object',
  required: ['model_stats'],
  properties: {
    model_stats: {
      type: 'array',
      items: {
        type: 'object',
        required: [
          'name',
          'version',
          'last_inference',
          'inference_count',
          'execution_count',
          'inference_stats',
          'batch_stats',
        ],
      },
    },
  },
};
