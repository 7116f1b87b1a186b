/** OpenAPI 3.1 of a host, or of one of its models: every route with the statuses that occur there. */
import { type DescribedModule, modelPaths, statisticsSchema } from './model-operations.js';
import { body, faults, faultSchemas, json } from './responses.js';

const about = `Every answer says what it came from in flotilla-* headers. Requests for scores may carry
flotilla-priority (1 is the highest) and flotilla-timeout-ms. Any other method on a path is 405, with Allow.`;

export function openApiDocument(
  version: string,
  modules: readonly DescribedModule[],
  scope: { readonly host: boolean; readonly repository: readonly string[] },
): object {
  const paths: Record<string, object> = scope.host ? { ...hostPaths(), ...repositoryPaths(scope.repository) } : {};
  for (const module of modules) Object.assign(paths, modelPaths(module));
  return {
    openapi: '3.1.0',
    info: { title: 'Flotilla scoring host', version, description: about },
    paths,
    components: {
      schemas: faultSchemas,
      securitySchemes: { control: { type: 'http', scheme: 'bearer', description: 'The control token of the host' } },
    },
  };
}

function hostPaths(): Record<string, object> {
  const text = { 200: { description: 'Healthy', content: { 'text/plain': { schema: { type: 'string' } } } } };
  const ids = faults('message', [431]);
  const get = (summary: string, responses: object, more: object = {}): object => ({
    get: { summary, ...more, responses },
  });
  return {
    '/': get('Whether the host is up', { ...text, ...ids }),
    '/v2': get('Name, version and extensions', json({ type: 'object', required: ['name', 'version', 'extensions'] })),
    '/v2/health/live': get('Whether the host is up', json({ type: 'object', required: ['live'] })),
    '/v2/health/ready': get('Whether the host takes requests', json({ type: 'object', required: ['ready'] })),
    '/v2/models/stats': get('What all models did since they were loaded', json(statisticsSchema)),
    '/v1/models': get('Names of the models that are ready', json({ type: 'object', required: ['models'] })),
    '/swagger.json': get(
      'Swagger 2 or OpenAPI 3 of /score alone',
      { ...json({ type: 'object' }), ...faults('message', [404, 431]) },
      { parameters: [query('version', ['2', '2.0', '3', '3.0', '3.1'])] },
    ),
    '/openapi.json': get('This document', { ...json({ type: 'object' }), ...ids }),
    '/metrics': get(
      'Prometheus text',
      { ...text, ...faults('message', [400, 431]) },
      { parameters: [query('names', ['all', 'flotilla', 'triton'])] },
    ),
    '/v2/trace/setting': refused(),
    '/v2/logging': refused(),
  };
}

function query(name: string, values: readonly string[]): object {
  return { name, in: 'query', required: false, schema: { type: 'string', enum: [...values] } };
}

function refused(): object {
  const operation = { summary: 'Not served', responses: faults('error', [501]) };
  return { get: operation, post: operation };
}

function repositoryPaths(names: readonly string[]): Record<string, object> {
  const empty = { 200: { description: 'Done' } };
  const change = (summary: string, statuses: readonly number[]): object => ({
    post: {
      summary,
      security: [{ control: [] }],
      ...body({ type: 'object', properties: { parameters: { type: 'object' } } }, undefined, false),
      responses: { ...empty, ...faults('error', [400, 401, 403, 404, 408, 413, 503, ...statuses]) },
    },
  });
  const paths: Record<string, object> = {
    '/v2/repository/index': {
      post: {
        summary: 'Every model and version that this host may serve, and its state',
        ...body({ type: 'object', properties: { ready: { type: 'boolean' } } }, undefined, false),
        responses: { ...json({ type: 'array' }), ...faults('error', [400, 408, 413, 503]) },
      },
    },
  };
  for (const name of names) {
    paths[`/v2/repository/models/${name}/load`] = change('Load every version of the model', [422, 500]);
    paths[`/v2/repository/models/${name}/unload`] = change('Unload every version of the model', []);
    paths[`/v2/models/${name}/trace/setting`] = refused();
  }
  return paths;
}
