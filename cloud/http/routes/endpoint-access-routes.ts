/** Who may call an endpoint: its keys and tokens. Asked for by POST, so that the audit log knows who has seen a key. */
import type { NewId } from '#shared/kernel/ids.js';
import { toInstant, type Clock } from '#shared/kernel/clock.js';
import type { EndpointKeys } from '#cloud/services/control/endpoint-keys.js';
import type { Endpoint } from '#cloud/services/control/endpoint-model.js';
import { type EndpointOffice, requireMode } from '#cloud/services/control/endpoint-office.js';
import type { EndpointRepository } from '#cloud/services/control/endpoint-repository.js';
import type { Routes } from '../app.js';
import { endpointKeysBody, endpointTokenBody, endpointTokenCreate, keyRegenerate } from '../schemas/endpoints.js';
import { endpointParams, endpointsPath } from './endpoint-routes.js';

export interface EndpointAccessRouteDeps {
  readonly endpoints: EndpointRepository;
  readonly office: EndpointOffice;
  readonly keys: EndpointKeys;
  readonly clock: Clock;
  readonly newId: NewId;
}

const path = `${endpointsPath}/:endpoint` as const;
const tags = ['endpoints'];

export function endpointAccessRoutes({ endpoints, office, keys, clock, newId }: EndpointAccessRouteDeps): Routes {
  const bothKeys = (endpoint: Endpoint): { primary: string; secondary: string } => ({
    primary: keys.key(endpoint, 'primary'),
    secondary: keys.key(endpoint, 'secondary'),
  });
  return (app) => {
    app.post(
      `${path}/keys`,
      {
        config: { role: 'contributor' },
        schema: {
          tags,
          summary: 'Show the two keys of an endpoint; both count',
          params: endpointParams,
          response: { 200: endpointKeysBody },
        },
      },
      async (request) => {
        const { workspace, endpoint } = request.params;
        const found = await endpoints.require(workspace, endpoint);
        requireMode(found, 'key');
        return bothKeys(found);
      },
    );

    app.post(
      `${path}/keys/regenerate`,
      {
        config: { role: 'contributor' },
        schema: {
          tags,
          summary: 'Replace one key; the one so far no longer counts',
          params: endpointParams,
          body: keyRegenerate,
          response: { 200: endpointKeysBody },
        },
      },
      async (request) => {
        const { workspace, endpoint } = request.params;
        const { slot } = request.body;
        request.audited = { slot };
        return bothKeys(await office.regenerateKey(workspace, endpoint, slot));
      },
    );

    app.post(
      `${path}/token`,
      {
        config: { role: 'contributor' },
        schema: {
          tags,
          summary: 'Make a token by which this endpoint can be called for a while',
          params: endpointParams,
          body: endpointTokenCreate,
          response: { 201: endpointTokenBody },
        },
      },
      async (request, reply) => {
        const { workspace, endpoint } = request.params;
        const found = await endpoints.require(workspace, endpoint);
        requireMode(found, 'token');
        const id = newId();
        const issuedAtMs = clock.now();
        const expiresAtMs = issuedAtMs + request.body.ttlSeconds * 1000;
        request.audited = { token: id, expiresAt: toInstant(expiresAtMs) };
        const claims = { audience: found.id, subject: request.principal?.id ?? '', id, issuedAtMs, expiresAtMs };
        return reply.code(201).send({ token: await keys.token(claims), expiresAt: toInstant(expiresAtMs) });
      },
    );
  };
}
