/**
 * The control plane's configuration: flags over environment (`FLOTILLA_*`) over a YAML file, checked by one
 * schema. The only reader of the environment. A name that is not known is an error that names the nearest.
 */
import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { parse as parseYaml } from 'yaml';
import type * as z from 'zod';
import { AppError, messageOf } from '#shared/kernel/errors.js';
import { nearest } from '#shared/kernel/names.js';
import { cloudConfigSchema, type CloudConfig } from './config-schema.js';

export type { CloudConfig } from './config-schema.js';

export interface Setting {
  /** In the file and in messages, for example `http.port`. */
  readonly path: string;
  /** Without dashes, for example `http-port`. */
  readonly flag: string;
  /** For example `FLOTILLA_HTTP_PORT`. */
  readonly variable: string;
  readonly description: string;
}

export interface ConfigSources {
  /** By flag name without dashes. */
  readonly flags: Readonly<Record<string, string | undefined>>;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly file?: { readonly path: string; readonly text: string };
}

export interface CloudArguments {
  readonly config: CloudConfig;
  readonly printConfig: boolean;
  readonly help: boolean;
}

/** Every setting there is, in the order of the schema. */
export function cloudSettings(): readonly Setting[] {
  return settingsOf(cloudConfigSchema, []);
}

/** Pure: from what the sources say to a frozen configuration. @throws AppError `config.invalid` */
export function loadConfig(sources: ConfigSources): CloudConfig {
  const settings = cloudSettings();
  const merged = fileSettings(sources.file, settings);
  for (const [name, value] of Object.entries(sources.environment)) {
    const setting = settings.find(({ variable }) => variable === name);
    if (setting && value !== undefined) assign(merged, setting.path, value);
    else if (!setting && isMeantForUs(name, settings)) {
      throw unknownName(
        'environment variable',
        name,
        settings.map(({ variable }) => variable),
      );
    }
  }
  for (const [name, value] of Object.entries(sources.flags)) {
    if (value === undefined) continue;
    const setting = settings.find(({ flag }) => flag === name);
    if (!setting)
      throw unknownName(
        'flag',
        `--${name}`,
        settings.map(({ flag }) => `--${flag}`),
      );
    assign(merged, setting.path, value);
  }
  const parsed = cloudConfigSchema.safeParse(merged);
  if (!parsed.success) throw invalid(parsed.error, settings);
  checkTogether(parsed.data);
  return deepFreeze(parsed.data);
}

/** Reads the command line of `flotilla cloud`, the environment, and the file that `--config` names. */
export async function readCloudArguments(
  argv: readonly string[],
  environment: Readonly<Record<string, string | undefined>> = process.env,
): Promise<CloudArguments> {
  const settings = cloudSettings();
  const known = [...settings.map(({ flag }) => flag), 'config', 'print-config', 'help'];
  const { tokens } = parseArgs({
    args: [...argv],
    strict: false,
    tokens: true,
    options: {
      ...Object.fromEntries(settings.map(({ flag }) => [flag, { type: 'string' as const }])),
      config: { type: 'string' },
      'print-config': { type: 'boolean' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  const flags: Record<string, string> = {};
  const switches = new Set<string>();
  for (const token of tokens) {
    if (token.kind === 'positional') throw new AppError('config.invalid', `unexpected argument "${token.value}"`);
    if (token.kind === 'option-terminator') continue;
    if (!known.includes(token.name))
      throw unknownName(
        'flag',
        token.rawName,
        known.map((flag) => `--${flag}`),
      );
    if (token.name === 'help' || token.name === 'print-config') switches.add(token.name);
    else if (token.value === undefined || token.value === '') {
      throw new AppError('config.invalid', `--${token.name} needs a value`);
    } else flags[token.name] = token.value;
  }
  const { config: configFlag, ...settingFlags } = flags;
  const path = configFlag ?? environment['FLOTILLA_CONFIG'];
  const config = loadConfig({
    flags: settingFlags,
    environment,
    ...(path === undefined ? {} : { file: { path, text: await readConfigFile(path) } }),
  });
  return { config, printConfig: switches.has('print-config'), help: switches.has('help') };
}

/** For `--print-config`. Passwords stand in files, never here; what a URL carries is masked. */
export function printConfig(config: CloudConfig): string {
  const mask = (_key: string, value: unknown): unknown =>
    typeof value === 'string' ? value.replace(/^([a-z]+:\/\/)[^/@]*@/, '$1***@') : value;
  return `${JSON.stringify(config, mask, 2)}\n`;
}

function settingsOf(schema: z.ZodObject, path: readonly string[]): Setting[] {
  return Object.entries(schema.shape).flatMap(([key, field]) => {
    const inner = unwrap(field as z.ZodType);
    const here = [...path, key];
    if (inner.def.type === 'object') return settingsOf(inner as z.ZodObject, here);
    const words = here.flatMap((part) => part.split(/(?=[A-Z])/)).map((word) => word.toLowerCase());
    return [
      {
        path: here.join('.'),
        flag: words.join('-'),
        variable: `FLOTILLA_${words.join('_').toUpperCase()}`,
        description: (field as z.ZodType).description ?? '',
      },
    ];
  });
}

function unwrap(schema: z.ZodType): z.ZodType {
  let inner = schema;
  while ('innerType' in inner.def) inner = inner.def.innerType as z.ZodType;
  return inner;
}

function fileSettings(file: ConfigSources['file'], settings: readonly Setting[]): Record<string, unknown> {
  if (!file) return {};
  let document: unknown;
  try {
    document = parseYaml(file.text, { logLevel: 'error' }) ?? {};
  } catch (error) {
    throw new AppError('config.invalid', `${file.path} is not YAML: ${messageOf(error)}`, { cause: error });
  }
  if (typeof document !== 'object' || document === null || Array.isArray(document)) {
    throw new AppError('config.invalid', `${file.path} must be a mapping of settings`);
  }
  refuseUnknownKeys(document, [], file.path, settings);
  return structuredClone(document) as Record<string, unknown>;
}

function refuseUnknownKeys(value: object, path: readonly string[], file: string, settings: readonly Setting[]): void {
  for (const [key, field] of Object.entries(value as Record<string, unknown>)) {
    const here = [...path, key].join('.');
    if (settings.some((setting) => setting.path === here)) continue;
    const isSection = settings.some((setting) => setting.path.startsWith(`${here}.`));
    if (!isSection)
      throw unknownName(
        'setting',
        `${here} in ${file}`,
        settings.map((setting) => setting.path),
        here,
      );
    if (typeof field !== 'object' || field === null) {
      throw new AppError('config.invalid', `${here} in ${file} must be a mapping of settings`);
    }
    refuseUnknownKeys(field, [...path, key], file, settings);
  }
}

/** What the command line and the agent read, by the same prefix. */
const othersVariables = /^FLOTILLA_(HOME|URL|TOKEN|AUTHORITY|WORKSPACE|CONFIG|AGENT_\w+)$/;

/** Meant for us: it begins like one of our sections, or is a slip away from one of our names. */
function isMeantForUs(name: string, settings: readonly Setting[]): boolean {
  if (!name.startsWith('FLOTILLA_') || othersVariables.test(name)) return false;
  const section = name.split('_', 2).join('_');
  const variables = settings.map(({ variable }) => variable);
  return variables.some((variable) => variable.startsWith(`${section}_`)) || nearest(name, variables) !== undefined;
}

function assign(target: Record<string, unknown>, path: string, value: string): void {
  const [first, second] = path.split('.');
  if (first === undefined) return;
  if (second === undefined) {
    target[first] = value;
    return;
  }
  const section = (target[first] ?? {}) as Record<string, unknown>;
  section[second] = value;
  target[first] = section;
}

/** What one field's schema cannot see. */
function checkTogether(config: CloudConfig): void {
  const { http, services, broker, keys } = config;
  if ((keys.authorityCertFile === undefined) !== (keys.authorityKeyFile === undefined)) {
    throw new AppError(
      'config.invalid',
      'keys.authorityCertFile and keys.authorityKeyFile go together: set both or neither',
    );
  }
  checkTls('http', http);
  if (http.tls === 'off' && !isLoopback(http.host) && !http.behindProxy) {
    throw new AppError(
      'config.invalid',
      `http.host ${http.host} is reachable from other machines and the API carries tokens: leave http.tls at generated, ` +
        'or set http.behindProxy where a proxy before it ends TLS',
    );
  }
  checkTls('services', services);
  if (services.tls === 'off' && !isLoopback(services.host)) {
    throw new AppError(
      'config.invalid',
      `services.host ${services.host} is reachable from other machines and requests carry keys: leave services.tls at generated`,
    );
  }
  if (services.runtime === 'container' && services.containerBase === undefined) {
    throw new AppError(
      'config.invalid',
      'services.runtime is container: set services.containerBase to a folder that is a root file system, or to an image of the engine, for example debian:12-slim',
    );
  }
  checkOidc(config.oidc);
  if (broker.kind === 'external' && broker.url === undefined) {
    throw new AppError(
      'config.invalid',
      'broker.kind is external: set broker.url to where it is, for example mqtts://broker:8883',
    );
  }
}

function checkTls(name: 'http' | 'services', { tls, tlsCertFile, tlsKeyFile }: CloudConfig['http' | 'services']): void {
  const files = [tlsCertFile, tlsKeyFile].filter((path) => path !== undefined);
  if (tls === 'files' ? files.length === 2 : files.length === 0) return;
  throw new AppError(
    'config.invalid',
    `${name}.tls is ${tls}: ${name}.tlsCertFile and ${name}.tlsKeyFile are both given with ${name}.tls files, and not otherwise`,
  );
}

function checkOidc({ issuer, audience, mapping }: CloudConfig['oidc']): void {
  if (issuer === undefined && audience === undefined) return;
  if (issuer === undefined || audience === undefined || Object.keys(mapping).length === 0) {
    throw new AppError('config.invalid', 'oidc.issuer, oidc.audience and oidc.mapping go together: set all or none');
  }
  const { protocol, hostname } = new URL(issuer);
  if (protocol !== 'https:' && !(protocol === 'http:' && isLoopback(hostname.replace(/^\[|\]$/g, '')))) {
    throw new AppError(
      'config.invalid',
      `oidc.issuer ${issuer} must be https: whoever answers there says who may come in`,
    );
  }
}

export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.[0-9]{1,3}){3}$/.test(host);
}

function invalid(error: z.ZodError, settings: readonly Setting[]): AppError {
  const issue = error.issues[0];
  const path = issue?.path.map(String).join('.') ?? '';
  const setting = settings.find((candidate) => candidate.path === path);
  const where = setting ? `${path} (--${setting.flag}, ${setting.variable})` : path;
  return new AppError('config.invalid', `${where}: ${issue?.message ?? 'invalid'}`);
}

function unknownName(what: string, typed: string, valid: readonly string[], word = typed): AppError {
  const near = nearest(word, valid);
  return new AppError(
    'config.invalid',
    `unknown ${what} ${typed}${near === undefined ? '' : `; did you mean ${near}?`}`,
  );
}

async function readConfigFile(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw new AppError('config.invalid', `cannot read the configuration file ${path}: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

function deepFreeze<T extends object>(value: T): T {
  for (const field of Object.values(value) as unknown[]) {
    if (typeof field === 'object' && field !== null) deepFreeze(field);
  }
  return Object.freeze(value);
}
