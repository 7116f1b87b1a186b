/**
 * Serves the inner models of one module with user code to its script host, on a Unix socket that only that
 * one may open: `GET /{module}/{version}/{model}` names the tensors, `POST` runs a V2 request.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { AppError, toProblem } from '#shared/kernel/errors.js';
import { jsonLengthHeader, jsonLengthOf } from '../codec/json-length.js';
import { problemHeader } from '../script-host/problem-header.js';
import { faultOf } from './faults.js';
import type { LoadedHostedModule } from './hosted-module.js';
import type { ScoringHost } from './scoring-host.js';

export interface ModuleVersion {
  readonly name: string;
  readonly version: number;
}

/** @param only whose models these are; it may be unloaded and loaded meanwhile */
export function createModelsServer(host: ScoringHost, only: ModuleVersion): Server {
  const server = createServer({ noDelay: true }, (request, response) => {
    answer(host, only, request, response).catch((error: unknown) => {
      const fault = faultOf(error, 'score');
      response.writeHead(fault.status, { ...fault.headers, [problemHeader]: toProblem(error).code });
      response.end(JSON.stringify(fault.body));
    });
  });
  // The script host keeps its connections; we say when they end.
  server.keepAliveTimeout = 0;
  return server;
}

async function answer(
  host: ScoringHost,
  { name, version: own }: ModuleVersion,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const [, moduleName = '', version = '', modelName = ''] = (request.url ?? '').split('/');
  const mine = moduleName === name && version === String(own);
  const module = mine ? host.versions(name).find((one) => one.module.version === own) : undefined;
  const model = module?.model(modelName);
  if (!module || !model) throw new AppError('model.not-found', `module "${moduleName}" has no model "${modelName}"`);
  if (request.method === 'GET') {
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(JSON.stringify(model.signature));
    return;
  }
  await run(host, module, modelName, request, response);
}

async function run(
  host: ScoringHost,
  module: LoadedHostedModule,
  model: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const jsonLength = jsonLengthOf(request.headers);
  const abandoned = (): boolean => request.socket.destroyed;
  const encoded = await host.bodies.withBody(request, jsonLength ?? 0, (body) =>
    module.runModel(model, { form: 'infer', body, jsonLength, abandoned }),
  );
  response.writeHead(200, {
    'content-type': 'application/octet-stream',
    'content-length': encoded.body.length,
    ...(encoded.jsonLength === undefined ? {} : { [jsonLengthHeader]: encoded.jsonLength }),
  });
  response.end(encoded.body);
}
