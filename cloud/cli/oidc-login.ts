/**
 * A login at an issuer by device code (RFC 8628): the person confirms a code in any browser, this polls until it is
 * done. The token that the control plane takes is kept with the refresh token beside it, and renewed when it nears its end.
 */
import * as oauth from 'oauth4webapi';
import { AppError, messageOf } from '#shared/kernel/errors.js';
import { toInstant } from '#shared/kernel/clock.js';
import { isLoopback } from '#cloud/config.js';
import type { CliIo } from './cli-io.js';
import { type Context, type ContextFile, readContextFile, writeContextFile } from './context-file.js';

export interface OidcServer {
  readonly issuer: string;
  readonly clientId: string;
  readonly audience: string;
  readonly scopes: string;
}

/** What a context keeps of it. */
export type OidcLogin = Pick<Context, 'token' | 'oidc'>;

type LoginIo = Pick<CliIo, 'clock' | 'signal'>;

const requestMs = 15_000;
const renewBeforeMs = 60_000;
const slowerSeconds = 5;

/** @throws AppError `auth.invalid` when the person says no or takes too long, `auth.issuer-unreachable` */
export async function loginByDevice(server: OidcServer, io: LoginIo, tell: (text: string) => void): Promise<OidcLogin> {
  const { as, client, options } = await discover(server, io);
  const parameters = { scope: server.scopes, audience: server.audience, ...resourceOf(server) };
  const started = await reaching(server, async () => {
    const response = await oauth.deviceAuthorizationRequest(as, client, oauth.None(), parameters, options);
    return oauth.processDeviceAuthorizationResponse(as, client, response);
  });
  tell(
    `Open ${started.verification_uri_complete ?? started.verification_uri} in any browser, and confirm the code ${started.user_code}`,
  );
  const endsAt = io.clock.monotonic() + started.expires_in * 1000;
  let intervalSeconds = started.interval ?? 5;
  while (io.clock.monotonic() < endsAt) {
    await io.clock.sleep(intervalSeconds * 1000, io.signal);
    if (io.signal.aborted) throw new AppError('request.aborted', 'stopped before the login was confirmed');
    try {
      const response = await oauth.deviceCodeGrantRequest(as, client, oauth.None(), started.device_code, options);
      return loginOf(await oauth.processDeviceCodeResponse(as, client, response), server, io.clock.now());
    } catch (error) {
      const code = error instanceof oauth.ResponseBodyError ? error.error : undefined;
      if (code === 'slow_down') intervalSeconds += slowerSeconds;
      else if (code === 'access_denied')
        throw new AppError('auth.invalid', 'the login was refused in the browser', { cause: error });
      else if (code === 'expired_token') break;
      else if (code !== 'authorization_pending') throw unreachable(server, error);
    }
  }
  throw new AppError('auth.invalid', `nobody confirmed the code ${started.user_code} in time: log in again`);
}

/** The contexts, with the one in use renewed where it nears its end. What cannot be renewed is left to be refused. */
export async function keepLoginFresh(
  io: CliIo,
  asked: string | undefined,
  file: ContextFile | undefined,
): Promise<ContextFile | undefined> {
  const name = asked ?? file?.current;
  const context = name === undefined ? undefined : file?.contexts[name];
  if (file === undefined || name === undefined || context?.oidc === undefined) return file;
  const { refreshToken, expiresAt, ...server } = context.oidc;
  if (refreshToken === undefined || Date.parse(expiresAt) - io.clock.now() > renewBeforeMs) return file;
  try {
    const renewed = await renew({ ...server, scopes: '' }, refreshToken, io);
    const contexts = { ...file.contexts, [name]: { ...context, ...renewed } };
    await writeContextFile(io.config.home, { ...file, contexts });
    return { ...file, contexts };
  } catch (error) {
    // Another command of the same person may have renewed it, and used up the refresh token, just now.
    const now = await readContextFile(io.config.home);
    if (now?.contexts[name]?.token !== context.token) return now;
    if (error instanceof oauth.ResponseBodyError) {
      throw new AppError('auth.invalid', 'your login has ended: flotilla login <url> --oidc', { cause: error });
    }
    throw unreachable(server, error);
  }
}

async function renew(server: OidcServer, refreshToken: string, io: LoginIo): Promise<OidcLogin> {
  const { as, client, options } = await discover(server, io);
  const additionalParameters = resourceOf(server);
  const response = await oauth.refreshTokenGrantRequest(as, client, oauth.None(), refreshToken, {
    ...options,
    additionalParameters,
  });
  const answer = await oauth.processRefreshTokenResponse(as, client, response);
  const login = loginOf(answer, server, io.clock.now());
  // Where the issuer does not rotate it, the old one stays.
  return (
    (login.oidc && { ...login, oidc: { ...login.oidc, refreshToken: answer.refresh_token ?? refreshToken } }) || login
  );
}

async function discover(
  server: Pick<OidcServer, 'issuer' | 'clientId'>,
  io: LoginIo,
): Promise<{
  as: oauth.AuthorizationServer;
  client: oauth.Client;
  options: { signal: () => AbortSignal };
}> {
  const issuer = new URL(server.issuer);
  const insecure = issuer.protocol === 'http:' && isLoopback(issuer.hostname.replace(/^\[|\]$/g, ''));
  const options = {
    signal: () => AbortSignal.any([io.signal, AbortSignal.timeout(requestMs)]),
    [oauth.allowInsecureRequests]: insecure,
  };
  const as = await reaching(server, async () =>
    oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, options)),
  );
  return { as, client: { client_id: server.clientId }, options };
}

/** RFC 8707, for issuers that give a token to one resource; those that know no resource go by `audience`. */
function resourceOf({ audience }: Pick<OidcServer, 'audience'>): { resource?: string } {
  return URL.canParse(audience) ? { resource: audience } : {};
}

/** The access token where it is one for the control plane, else the ID token. */
function loginOf(answer: oauth.TokenEndpointResponse, server: OidcServer, nowMs: number): OidcLogin {
  const { audience, issuer, clientId } = server;
  for (const token of [answer.access_token, answer.id_token]) {
    const claims = token === undefined ? undefined : claimsOf(token);
    if (token === undefined || !claims || ![claims['aud']].flat().includes(audience)) continue;
    const endsAtMs = typeof claims['exp'] === 'number' ? claims['exp'] * 1000 : nowMs;
    const refreshToken = answer.refresh_token;
    return {
      token,
      oidc: {
        issuer,
        clientId,
        audience,
        expiresAt: toInstant(endsAtMs),
        ...(refreshToken === undefined ? {} : { refreshToken }),
      },
    };
  }
  throw new AppError(
    'server.incompatible',
    `${issuer} gave no token for ${audience}: let it give the client ${clientId} one as a JWT, or set oidc.audience to the client`,
  );
}

/** Unverified: the control plane judges; this chooses which token to show it. */
function claimsOf(token: string): Record<string, unknown> | undefined {
  try {
    const claims: unknown = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8'));
    return typeof claims === 'object' && claims !== null ? (claims as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

async function reaching<T>(server: Pick<OidcServer, 'issuer'>, act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    throw unreachable(server, error);
  }
}

function unreachable({ issuer }: Pick<OidcServer, 'issuer'>, cause: unknown): AppError {
  if (cause instanceof AppError) return cause;
  if (cause instanceof oauth.ResponseBodyError) {
    const { error, error_description: why } = cause;
    return new AppError('auth.invalid', `${issuer} refuses: ${error}${why === undefined ? '' : ` (${why})`}`, {
      cause,
    });
  }
  return new AppError('auth.issuer-unreachable', `${issuer} cannot be asked: ${messageOf(cause)}`, { cause });
}
