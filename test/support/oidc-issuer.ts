/**
 * A real OpenID provider on loopback: discovery, keys, device codes, JWT access tokens for one audience, rotating refresh
 * tokens. The person's half of a login, in a browser, is done to its store; everything a program sees is its own.
 */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type CryptoKey, exportJWK, generateKeyPair, type JWTHeaderParameters, SignJWT } from 'jose';
import Provider from 'oidc-provider';

export const audience = 'https://fleet.example/api';
export const clientId = 'flotilla';

export class OidcIssuer {
  roles: unknown = ['fleet-ops'];
  /** Paths that were asked for. */
  readonly asked: string[] = [];
  /** How often its keys were asked for. */
  keyReads = 0;

  private constructor(
    private readonly server: Server,
    private readonly provider: Provider,
    readonly issuer: string,
    readonly key: CryptoKey,
    readonly publicJwk: object,
  ) {}

  static async start(): Promise<OidcIssuer> {
    const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true });
    const privateJwk = { ...(await exportJWK(privateKey)), kid: 'k1', alg: 'ES256', use: 'sig' };
    let handle: ReturnType<Provider['callback']> | undefined;
    let made: OidcIssuer | undefined;
    const server = createServer((request, response) => {
      made?.asked.push(request.url ?? '');
      if (request.url === '/jwks' && made) made.keyReads += 1;
      void handle?.(request, response);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const issuer = `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`;
    const provider = new Provider(issuer, {
      clients: [
        {
          client_id: clientId,
          token_endpoint_auth_method: 'none',
          application_type: 'native',
          id_token_signed_response_alg: 'ES256',
          grant_types: ['urn:ietf:params:oauth:grant-type:device_code', 'refresh_token'],
          redirect_uris: [],
          response_types: [],
        },
      ],
      jwks: { keys: [privateJwk as never] },
      cookies: { keys: ['test'] },
      scopes: ['openid', 'offline_access', 'profile'],
      findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
      extraTokenClaims: () => ({ roles: made?.roles, preferred_username: 'alice@example' }) as never,
      ttl: {
        AccessToken: () => 300,
        DeviceCode: () => 600,
        RefreshToken: () => 3600,
        Grant: () => 3600,
        IdToken: () => 300,
      },
      rotateRefreshToken: true,
      features: {
        devInteractions: { enabled: false },
        deviceFlow: { enabled: true },
        resourceIndicators: {
          enabled: true,
          defaultResource: () => audience,
          useGrantedResource: () => true,
          getResourceServerInfo: () => ({ scope: '', accessTokenFormat: 'jwt', jwt: { sign: { alg: 'ES256' } } }),
        },
      },
    });
    handle = provider.callback();
    made = new OidcIssuer(server, provider, issuer, privateKey, {
      ...(await exportJWK(publicKey)),
      kid: 'k1',
      alg: 'ES256',
    });
    return made;
  }

  /** What the person does in the browser. */
  async approve(userCode: string, account: string): Promise<void> {
    const code = await this.provider.DeviceCode.findByUserCode(userCode.replaceAll('-', ''));
    if (!code) throw new Error(`the issuer knows no code ${userCode}`);
    const grant = new this.provider.Grant({ accountId: account, clientId });
    grant.addOIDCScope('openid profile offline_access');
    grant.addResourceScope(audience, '');
    Object.assign(code, {
      accountId: account,
      grantId: await grant.save(),
      scope: 'openid profile offline_access',
      resource: audience,
      authTime: Math.floor(Date.now() / 1000),
      claims: {},
    });
    await code.save();
  }

  /** A token as this issuer would sign it, changed as the test wants. */
  sign(claims: Record<string, unknown>, header: Partial<JWTHeaderParameters> = {}, key = this.key): Promise<string> {
    const now = Math.floor(Date.now() / 1000);
    return new SignJWT({
      iss: this.issuer,
      aud: audience,
      sub: 'alice',
      iat: now,
      exp: now + 300,
      roles: this.roles,
      ...claims,
    })
      .setProtectedHeader({ alg: 'ES256', kid: 'k1', typ: 'at+jwt', ...header })
      .sign(key);
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}
