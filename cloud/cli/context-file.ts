/**
 * `context.json`: the control planes that this user has logged in to, with their tokens; hence 0600.
 * Which of them a command talks to is decided by `chooseTarget`, purely.
 */
import { dirname, join } from 'node:path';
import * as z from 'zod';
import { AppError } from '#shared/kernel/errors.js';
import { nearest } from '#shared/kernel/names.js';
import { writeFileAtomic } from '#shared/platform/atomic-file.js';
import { makePrivateFolder, readTextIfPresent } from '#shared/platform/private-file.js';
import { describeIssues } from '#shared/protocol/decode.js';
import { instantSchema, nameSchema } from '#shared/protocol/primitives.js';
import { parseFingerprint, type ServerAuthority } from '#cloud/client/server-authority.js';
import type { CliConfig } from './cli-config.js';

const contextSchema = z.strictObject({
  url: z.url(),
  workspace: nameSchema,
  token: z.string().min(1),
  /** PEM of the authority that was compared at the login; without it, those that Node believes count. */
  authority: z.string().startsWith('-----BEGIN CERTIFICATE-----').optional(),
  /** The name that the server's certificate must carry, where it is not that of the URL. */
  serverName: z.string().min(1).optional(),
  /** Of a login at an issuer: what it takes to renew the token. */
  oidc: z
    .strictObject({
      ...{ issuer: z.url(), clientId: z.string(), audience: z.string() },
      ...{ refreshToken: z.string().optional(), expiresAt: instantSchema },
    })
    .optional(),
});
export type Context = z.infer<typeof contextSchema>;

const contextFileSchema = z.strictObject({
  schema: z.literal(1),
  current: z.string(),
  contexts: z.record(nameSchema, contextSchema),
});
export type ContextFile = z.infer<typeof contextFileSchema>;

export const defaultContext = 'default';
export const defaultWorkspace = 'default';

export function contextPath(home: string): string {
  return join(home, 'context.json');
}

/** Undefined before the first login. */
export async function readContextFile(home: string): Promise<ContextFile | undefined> {
  const path = contextPath(home);
  const text = await readTextIfPresent(path);
  return text === undefined ? undefined : parseContextFile(text, path);
}

export function parseContextFile(text: string, path: string): ContextFile {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw corrupt(path, 'not JSON', error);
  }
  const parsed = contextFileSchema.safeParse(value);
  if (!parsed.success) throw corrupt(path, describeIssues(parsed.error));
  return parsed.data;
}

function corrupt(path: string, why: string, cause?: unknown): AppError {
  return new AppError('config.invalid', `${path}: ${why}; remove the file and log in again`, { cause });
}

export async function writeContextFile(home: string, file: ContextFile): Promise<void> {
  const path = contextPath(home);
  await makePrivateFolder(dirname(path));
  await writeFileAtomic(path, `${JSON.stringify(file, null, 2)}\n`, { mode: 0o600 });
}

export interface Target {
  readonly url: URL;
  readonly token: string;
  readonly workspace: string;
  readonly authority?: ServerAuthority | undefined;
  /** Fingerprint of an authority that is still to be fetched. */
  readonly pin?: string | undefined;
}

/**
 * Flags over environment over file. A stored token goes only to the URL it was stored with.
 *
 * @throws AppError `auth.missing` when nothing says whom to talk to
 */
export function chooseTarget(
  flags: { readonly context?: string | undefined; readonly workspace?: string | undefined },
  config: CliConfig,
  file: ContextFile | undefined,
): Target {
  const stored = storedContext(flags.context, file);
  const fromEnvironment = flags.context === undefined ? config : undefined;
  const url = fromEnvironment?.url ?? stored?.url;
  if (url === undefined) {
    throw new AppError('auth.missing', 'not logged in to any control plane; flotilla login <url> --token <token>');
  }
  const parsed = parseServerUrl(url);
  const own = stored !== undefined && parseServerUrl(stored.url).href === parsed.href ? stored : undefined;
  const token = fromEnvironment?.token ?? own?.token;
  if (token === undefined) {
    throw new AppError('auth.missing', `no token for ${parsed.origin}; set FLOTILLA_TOKEN, or log in to it`);
  }
  const workspace = flags.workspace ?? config.workspace ?? own?.workspace ?? defaultWorkspace;
  const authority = own && storedAuthority(own);
  const pin = parsed.protocol === 'https:' ? fromEnvironment?.authority : undefined;
  return { url: parsed, token, workspace, ...(pin === undefined ? { authority } : { pin: parsePin(pin) }) };
}

export function storedAuthority({ authority, serverName }: Context): ServerAuthority | undefined {
  return authority === undefined ? undefined : { certificate: authority, serverName };
}

/** @throws AppError `request.invalid` */
export function parsePin(text: string): string {
  const pin = parseFingerprint(text);
  if (pin !== undefined) return pin;
  throw new AppError(
    'request.invalid',
    'an authority is named by its SHA-256 fingerprint, 64 hex digits, as "flotilla cloud" prints it at its first start',
  );
}

function storedContext(asked: string | undefined, file: ContextFile | undefined): Context | undefined {
  return asked === undefined ? file?.contexts[file.current] : findContext(asked, file);
}

/** @throws AppError `request.invalid` naming the nearest one */
export function findContext(asked: string, file: ContextFile | undefined): Context {
  const context = file?.contexts[asked];
  if (context !== undefined) return context;
  const known = Object.keys(file?.contexts ?? {});
  const near = nearest(asked, known);
  const hint = near === undefined ? `log in with --context ${asked}` : `did you mean ${near}?`;
  throw new AppError('request.invalid', `there is no context "${asked}"; ${hint}`);
}

export function parseServerUrl(text: string): URL {
  let url: URL;
  try {
    url = new URL(text);
  } catch (error) {
    throw new AppError('request.invalid', 'that is no URL; write for example http://127.0.0.1:8080', { cause: error });
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw new AppError('request.invalid', `a control plane's URL starts with http:// or https://, not ${url.protocol}`);
  }
  if (url.username !== '' || url.password !== '') {
    throw new AppError('request.invalid', 'a control plane takes a token, no user name or password in the URL');
  }
  return new URL(url.origin + url.pathname.replace(/\/+$/, ''));
}
