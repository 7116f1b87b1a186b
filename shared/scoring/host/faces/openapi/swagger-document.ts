/**
 * `/swagger.json` as Azure ML's server gives it: the probe, `/score` and the document itself, in Swagger
 * 2 or OpenAPI 3. A script's input and output are any object, as there.
 */
import type { ModelSignature } from '../../../codec/tensor.js';
import { plainSchema } from './model-schemas.js';
import type { Schema } from './tensor-schemas.js';

export const swaggerVersions = ['2', '3', '3.1'] as const;
export type SwaggerVersion = (typeof swaggerVersions)[number];

export interface ScoredModule {
  readonly name: string;
  /** Where it is asked. */
  readonly path: string;
  readonly signature: ModelSignature | 'script';
}

export interface Service {
  readonly name: string;
  readonly version: string;
  readonly modules: readonly ScoredModule[];
}

/** As written in a query; undefined where there is no such version. */
export function swaggerVersion(text: string): SwaggerVersion | undefined {
  return swaggerVersions.find((version) => version === text || (version !== '3.1' && `${version}.0` === text));
}

export function swaggerDocument({ name, version, modules }: Service, of: SwaggerVersion): object {
  const form = of === '2' ? swagger2 : openApi3;
  const schemas = Object.fromEntries([
    ...modules.flatMap((module) => [
      [schemaName(modules, module, 'ServiceInput'), sideOf(module, 'inputs')],
      [schemaName(modules, module, 'ServiceOutput'), sideOf(module, 'outputs')],
    ]),
    ['ErrorResponse', { type: 'object', properties: { message: { type: 'string' } } }],
  ]) as Record<string, Schema>;
  const scores = modules.map((module) => [
    module.path,
    {
      post: {
        operationId: modules.length === 1 ? 'RunMLService' : `RunMLService-${module.name}`,
        description: `Run ${module.name} and get its output`,
        ...form.input(schemaName(modules, module, 'ServiceInput')),
        responses: form.responses(form.ref(schemaName(modules, module, 'ServiceOutput')), 'application/json'),
      },
    },
  ]);
  const paths = Object.fromEntries([
    [
      '/',
      operation('ServiceHealthCheck', 'Whether the service is up', form.responses({ type: 'string' }, 'text/plain')),
    ],
    ...scores,
    ['/swagger.json', documentOperation(form)],
  ]) as object;
  const info = { title: name, description: `API specification of ${name}`, version };
  return form.document(info, paths, schemas, of);
}

function operation(operationId: string, description: string, responses: object): object {
  return { get: { operationId, description, responses } };
}

function documentOperation(form: Form): object {
  const choice = { type: 'string', enum: [...swaggerVersions], default: '2' };
  const parameters = [{ name: 'version', in: 'query', required: false, ...form.parameter(choice) }];
  const responses = form.responses({ type: 'object' }, 'application/json');
  return { get: { operationId: 'GetSwaggerSpec', description: 'This document', parameters, responses } };
}

function schemaName(modules: readonly ScoredModule[], module: ScoredModule, side: string): string {
  return modules.length === 1 ? side : `${side}-${module.name}`;
}

function sideOf({ signature }: ScoredModule, side: 'inputs' | 'outputs'): Schema {
  return signature === 'script' ? { type: 'object', example: {} } : plainSchema(signature[side]);
}

interface Form {
  ref(schema: string): Schema;
  input(schema: string): object;
  parameter(schema: Schema): object;
  responses(schema: Schema, type: string): object;
  document(info: object, paths: object, schemas: Record<string, Schema>, version: SwaggerVersion): object;
}

const done = 'What was asked for';
const failed = 'The service failed to execute due to an error';

const swagger2: Form = {
  ref: (schema) => ({ $ref: `#/definitions/${schema}` }),
  input: (schema) => ({
    parameters: [{ name: 'serviceInputPayload', in: 'body', required: true, schema: swagger2.ref(schema) }],
  }),
  parameter: (schema) => schema,
  responses: (schema, type) => ({
    200: { description: done, schema, ...(type === 'text/plain' ? { examples: { [type]: 'Healthy' } } : {}) },
    default: { description: failed, schema: swagger2.ref('ErrorResponse') },
  }),
  document: (info, paths, definitions) => ({
    swagger: '2.0',
    info,
    schemes: ['http', 'https'],
    consumes: ['application/json'],
    produces: ['application/json'],
    paths,
    definitions,
  }),
};

const openApi3: Form = {
  ref: (schema) => ({ $ref: `#/components/schemas/${schema}` }),
  input: (schema) => ({
    requestBody: { required: true, content: { 'application/json': { schema: openApi3.ref(schema) } } },
  }),
  parameter: (schema) => ({ schema }),
  responses: (schema, type) => ({
    200: { description: done, content: { [type]: { schema } } },
    default: { description: failed, content: { 'application/json': { schema: openApi3.ref('ErrorResponse') } } },
  }),
  document: (info, paths, schemas, version) => ({
    openapi: version === '3.1' ? '3.1.0' : '3.0.3',
    info,
    paths,
    components: { schemas },
  }),
};
