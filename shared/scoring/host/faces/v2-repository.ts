/**
 * The model repository extension. Reading the index is open; loading and unloading need the host's
 * control token, and reach only what the host was given: no request brings files or a configuration.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { AppError } from '#shared/kernel/errors.js';
import { isObject } from '../../codec/infer-request.js';
import { parseJsonText } from '../../codec/json-text.js';
import { refuseOtherMethods } from '../allowed-methods.js';
import { requireControlToken } from '../control-token.js';
import type { ScoringHost } from '../scoring-host.js';

export function v2RepositoryRoutes(app: FastifyInstance, host: ScoringHost): void {
  const post = (url: string, handler: (request: FastifyRequest, reply: FastifyReply) => Promise<unknown>): void => {
    app.post(url, handler);
    refuseOtherMethods(app, url, ['POST']);
  };
  post('/v2/repository/index', async (request) => {
    const { ready } = await readOptions(host, request);
    if (ready !== undefined && typeof ready !== 'boolean') {
      throw new AppError('request.invalid', '"ready" must be true or false');
    }
    return host
      .index()
      .filter(({ state }) => ready !== true || state === 'READY')
      .map((entry) => ({ ...entry, version: String(entry.version) }));
  });
  post('/v2/repository/models/:model/load', async (request, reply) => {
    requireControlToken(host.controlToken, request.headers.authorization);
    const { parameters } = await readOptions(host, request);
    refuseContent(parameters);
    await host.loadModel(modelOf(request));
    return reply.code(200).send();
  });
  post('/v2/repository/models/:model/unload', async (request, reply) => {
    requireControlToken(host.controlToken, request.headers.authorization);
    const { parameters } = await readOptions(host, request);
    // No model here depends on another, so that this changes nothing.
    const dependents = isObject(parameters) ? parameters['unload_dependents'] : undefined;
    if (dependents !== undefined && typeof dependents !== 'boolean') {
      throw new AppError('request.invalid', 'parameter unload_dependents must be true or false');
    }
    await host.unloadModel(modelOf(request));
    return reply.code(200).send();
  });
}

function modelOf(request: FastifyRequest): string {
  return (request.params as { model: string }).model;
}

/** The body may be absent. */
function readOptions(host: ScoringHost, request: FastifyRequest): Promise<Record<string, unknown>> {
  return host.bodies.withBody(request.raw, 0, ({ buffer, start, length }) => {
    if (length === 0) return Promise.resolve({});
    const { value } = parseJsonText(new Uint8Array(buffer, start, length));
    if (!isObject(value)) throw new AppError('request.invalid', 'the body must be a JSON object, or empty');
    return Promise.resolve(value);
  });
}

function refuseContent(parameters: unknown): void {
  const names = isObject(parameters) ? Object.keys(parameters) : [];
  const refused = names.find((name) => name === 'config' || name.startsWith('file:'));
  if (refused !== undefined) {
    throw new AppError(
      'request.invalid',
      `parameter "${refused}" is refused: this host loads only the verified modules that it was given, as they are`,
    );
  }
}
