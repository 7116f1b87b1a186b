import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import { jsonSchemaTransform } from 'fastify-type-provider-zod';
import type { App } from '../app.js';

/** Its pages and files are public like the rest of the documentation. Added before what asks routes for their access. */
export function addDocumentationAccess(app: App): void {
  app.addHook('onRoute', (route) => {
    if (route.url === '/docs' || route.url.startsWith('/docs/')) route.config = { ...route.config, public: true };
  });
}

/** OpenAPI 3.1 from the schemas that also check the requests, and pages to read it by. */
export async function addDocumentation(app: App, version: string): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'Flotilla control plane', version, license: { name: 'Apache-2.0', identifier: 'Apache-2.0' } },
      components: { securitySchemes: { token: { type: 'http', scheme: 'bearer' } } },
      security: [{ token: [] }],
    },
    transform: (input) => {
      const described = jsonSchemaTransform(input);
      const { config } = input.route;
      const access = config?.public === true ? 'public' : config?.role;
      return {
        ...described,
        schema: {
          ...withBytes(described.schema, config?.bytes),
          'x-flotilla-role': access,
          ...(config?.installation === true ? { 'x-flotilla-installation': true } : {}),
          ...(access === 'public' ? { security: [] } : {}),
        },
      };
    },
  });
  await app.register(swaggerUi, { routePrefix: '/docs', staticCSP: true, uiConfig: { persistAuthorization: false } });
  app.get('/openapi.json', { config: { public: true }, schema: { hide: true } }, async (_request, reply) =>
    reply.type('application/json; charset=utf-8').send(JSON.stringify(app.swagger())),
  );
}

const octets = { content: { 'application/octet-stream': { schema: { type: 'string', format: 'binary' } } } };

/** Says where a route takes or gives bytes that no schema checks. */
function withBytes<T extends object>(schema: T, bytes: 'body' | 'answer' | undefined): T {
  switch (bytes) {
    case undefined:
      return schema;
    case 'body':
      return { ...schema, body: octets };
    case 'answer': {
      const answers: unknown = Reflect.get(schema, 'response');
      const response = {
        200: { description: 'The bytes', ...octets },
        206: { description: 'The part of the bytes that Range asks for', ...octets },
        304: { description: 'If-None-Match names the digest of these bytes', type: 'null' },
        ...(typeof answers === 'object' ? answers : {}),
      };
      return { ...schema, response };
    }
  }
}
