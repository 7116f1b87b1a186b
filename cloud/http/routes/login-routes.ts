import type { OidcSettings } from '#cloud/auth/oidc/oidc-settings.js';
import type { Routes } from '../app.js';
import { loginBody } from '../schemas/server.js';

export interface LoginRouteDeps {
  readonly oidc: OidcSettings | undefined;
}

export function loginRoutes({ oidc }: LoginRouteDeps): Routes {
  return (app) => {
    app.get(
      '/v1/login',
      {
        config: { public: true },
        schema: { tags: ['server'], summary: 'How people can log in, beside a token', response: { 200: loginBody } },
      },
      async () => {
        if (!oidc) return { oidc: null };
        const { issuer, audience, clientId, scopes } = oidc;
        return { oidc: { issuer, audience, clientId, scopes } };
      },
    );
  };
}
