/**
 * Every operation of the OpenAPI document, called over a socket as everybody: what may come in is exactly what the
 * document says. A new route is in here by itself; one that says nothing of its role fails.
 */
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isAtLeast, type Role, roles } from '#cloud/auth/role.js';
import { loadConfig } from '#cloud/config.js';
import { type RunningCloud, startCloud } from '#cloud/main.js';
import { temporaryFolder } from '#test/support/temporary-folder.js';

interface Operation {
  readonly method: string;
  readonly path: string;
  readonly role: unknown;
  readonly installation: boolean;
}

interface Caller {
  readonly name: string;
  readonly authorization: string | undefined;
  readonly principal?: { readonly role: Role; readonly workspace: string | null };
}

const folder = temporaryFolder();
let cloud: RunningCloud;
let operations: Operation[] = [];
let callers: Caller[] = [];

async function ask(
  method: string,
  path: string,
  authorization?: string,
  body?: object,
): Promise<{ status: number; code: string }> {
  const ended = new AbortController();
  const response = await fetch(cloud.addresses.http + path, {
    method,
    signal: ended.signal,
    headers: {
      ...(authorization === undefined ? {} : { authorization }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const isStream = response.headers.get('content-type')?.startsWith('text/event-stream') === true;
  const text = isStream ? '' : await response.text();
  ended.abort();
  const isProblem = response.status >= 400 && text.startsWith('{');
  return { status: response.status, code: isProblem ? (JSON.parse(text) as { code: string }).code : '' };
}

beforeAll(async () => {
  const ports = { 'http-port': '0', 'gateway-port': '0', 'broker-port': '0' };
  const flags = { ...ports, 'data-dir': folder('data'), 'http-tls': 'off', 'limits-requests-per-second': '100000' };
  cloud = await startCloud(loadConfig({ flags, environment: {} }), pino({ level: 'silent' }), '0.0.0');
  const owner = `Bearer ${cloud.ownerToken ?? ''}`;
  await ask('POST', '/v1/workspaces', owner, { name: 'theirs' });
  const token = async (workspace: string | null, role: Role): Promise<Caller> => {
    const path = workspace === null ? '/v1/tokens' : `/v1/workspaces/${workspace}/tokens`;
    const response = await fetch(cloud.addresses.http + path, {
      method: 'POST',
      headers: { authorization: owner, 'content-type': 'application/json' },
      body: JSON.stringify({ name: `matrix-${role}`, role }),
    });
    const made = (await response.json()) as { token: string };
    return {
      name: `${role} of ${workspace ?? 'the installation'}`,
      authorization: `Bearer ${made.token}`,
      principal: { role, workspace },
    };
  };
  callers = [
    { name: 'nobody', authorization: undefined },
    { name: 'a malformed token', authorization: 'Bearer flt_nonsense' },
    { name: 'a token that nobody made', authorization: `Bearer flt_${'0'.repeat(16)}_${'A'.repeat(43)}` },
    await token('theirs', 'owner'),
  ];
  for (const role of roles) callers.push(await token('default', role), await token(null, role));
  const document = (await (await fetch(`${cloud.addresses.http}/openapi.json`)).json()) as {
    paths: Record<string, Record<string, Record<string, unknown>>>;
  };
  operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({
      method: method.toUpperCase(),
      path,
      role: operation['x-flotilla-role'],
      installation: operation['x-flotilla-installation'] === true,
    })),
  );
}, 60_000);
afterAll(() => cloud.stop());

/** What the document promises this caller: the code of the refusal, or nothing. */
function refusal({ path, role, installation }: Operation, { authorization, principal }: Caller): string | undefined {
  if (role === 'public') return undefined;
  if (authorization === undefined) return 'auth.missing';
  if (principal === undefined) return 'auth.invalid';
  const reaches =
    principal.workspace === null ||
    (!installation && (!path.includes('{workspace}') || principal.workspace === 'default'));
  return reaches && isAtLeast(principal.role, role as Role) ? undefined : 'auth.forbidden';
}

/** A URL of it. Who may change something changes nothing: names are of things that are not there. */
function urlOf({ method, path }: Operation, { principal }: Caller): string {
  const workspace = principal?.workspace === null && method !== 'GET' ? 'nowhere' : 'default';
  return path
    .replace('{workspace}', workspace)
    .replace('{digest}', `sha256:${'0'.repeat(64)}`)
    .replace('{*}', 'x')
    .replaceAll(/\{[a-z]+\}/gi, 'nothing');
}

describe('every operation of the API', () => {
  it('says who may call it', () => {
    expect(operations.length).toBeGreaterThan(40);
    const silent = operations.filter(({ role }) => role !== 'public' && !roles.includes(role as Role));
    expect(silent).toEqual([]);
  });

  it('changes nothing for a reader, unless it is public', () => {
    const changing = operations.filter(({ method }) => !['GET', 'HEAD'].includes(method));
    expect(changing.filter(({ role }) => role === 'reader')).toEqual([]);
  });

  it('lets in exactly whom it says, whoever calls', async () => {
    const wrong: string[] = [];
    for (const operation of operations) {
      for (const caller of callers) {
        const { status, code } = await ask(operation.method, urlOf(operation, caller), caller.authorization);
        const expected = refusal(operation, caller);
        // An answer to HEAD has no body to tell the code.
        const said = code.startsWith('auth.')
          ? code
          : operation.method === 'HEAD' && status === 401
            ? 'auth'
            : operation.method === 'HEAD' && status === 403
              ? 'auth.forbidden'
              : undefined;
        const fits = said === 'auth' ? expected !== undefined && expected !== 'auth.forbidden' : said === expected;
        if (!fits || status >= 500) {
          wrong.push(
            `${operation.method} ${operation.path} as ${caller.name}: ${String(status)} ${code}, expected ${expected ?? 'to come in'}`,
          );
        }
      }
    }
    console.log(
      `${String(operations.length)} operations, ${String(callers.length)} callers, ${String(operations.length * callers.length)} calls`,
    );
    expect(wrong).toEqual([]);
  });
});
