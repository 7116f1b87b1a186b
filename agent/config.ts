/**
 * The agent's settings: flags over environment (`FLOTILLA_AGENT_*`) over file (YAML), one schema. The
 * only reader of the environment; `agentConfigFrom` is a pure function of what it is given.
 */
import { existsSync, readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { parse as parseYaml } from 'yaml';
import * as z from 'zod';
import { AppError, messageOf } from '#shared/kernel/errors.js';
import { nearest } from '#shared/kernel/names.js';
import type { StreamKind } from '#shared/protocol/stream.js';
import { type HostEnvironment, inheritedEnvironment } from '#agent/providers/loader-environment.js';

const megabyte = 1024 * 1024;
const megabytes = (text: string) => z.coerce.number().int().min(1).max(1_000_000).describe(text);

const hours = (text: string) => z.coerce.number().min(0.001).max(100_000).describe(text);
const hourSeconds = 3600;

/** Every setting by its path in the file. The variable of `scoring.port` is FLOTILLA_AGENT_SCORING_PORT. */
const settings = {
  stateDir: z.string().min(1).describe('where everything that must survive lies'),
  'scoring.address': z
    .string()
    .refine((text) => isIP(text) !== 0, 'must be an IP address, for example 127.0.0.1')
    .default('127.0.0.1'),
  'scoring.port': z.coerce.number().int().min(0).max(65_535).default(8800),
  /** Without it there is no gRPC; 0 picks a free port. */
  'grpc.port': z.coerce.number().int().min(0).max(65_535).optional(),
  'scoring.maxBodyMegabytes': megabytes('largest scoring request').default(64),
  'telemetry.intervalSeconds': z.coerce.number().min(0.1).max(86_400).default(10),
  'telemetry.maxSpoolMegabytes': megabytes('telemetry and events kept while offline').default(64),
  'telemetry.maxAgeHours': hours('how long telemetry waits').default(7 * 24),
  'telemetry.maxEventAgeHours': hours('how long events wait').default(30 * 24),
  'disk.reserveMegabytes': z.coerce.number().int().min(0).max(1_000_000).default(64),
  'link.keepaliveSeconds': z.coerce.number().int().min(5).max(3600).default(30),
  'link.maxReconnectSeconds': z.coerce.number().min(0.1).max(3600).default(60),
  'log.level': z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']).default('info'),
} as const;

type SettingName = keyof typeof settings;
const settingNames = Object.keys(settings) as SettingName[];
const schema = z.object(settings);
type Settings = z.infer<typeof schema>;

export interface AgentConfig {
  readonly stateDir: string;
  readonly scoring: { readonly address: string; readonly port: number; readonly maxBodyBytes: number };
  /** On the address of scoring; absent: none. */
  readonly grpc?: { readonly port: number };
  readonly telemetry: {
    readonly intervalMs: number;
    readonly maxSpoolBytes: number;
    /** By the device's age clock: see agent/store/lived-time.ts. */
    readonly maxAgeSeconds: Readonly<Record<StreamKind, number>>;
  };
  readonly disk: { readonly reserveBytes: number };
  readonly link: { readonly keepaliveSeconds: number; readonly maxReconnectMs: number };
  readonly log: { readonly level: string };
  /** What scoring hosts inherit, so that drivers and libraries are found. */
  readonly hostEnvironment: HostEnvironment;
}

export type AgentFlags = Readonly<Partial<Record<SettingName, string>>>;

export interface ConfigSources {
  readonly flags: AgentFlags;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly file?: { readonly path: string; readonly text: string };
  readonly isRoot: boolean;
  readonly home: string;
}

const prefix = 'FLOTILLA_AGENT_';
/** Where the file is, which the file itself cannot say. */
const configVariable = `${prefix}CONFIG`;

/** @throws AppError `config.invalid`, naming the key, where it stands, and the nearest valid one */
export function agentConfigFrom(sources: ConfigSources): AgentConfig {
  const merged = {
    ...defaults(sources),
    ...fromFile(sources),
    ...fromEnvironment(sources.environment),
    ...sources.flags,
  };
  const parsed = schema.safeParse(merged);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const name = String(issue?.path[0] ?? '');
    throw invalid(
      `${name}: ${issue?.message ?? 'not valid'}; set it by flag, ${variableOf(name)} or the settings file`,
    );
  }
  return shape(parsed.data, inheritedEnvironment(sources.environment));
}

/** Reads the process's environment and the settings file, where there is one. */
export function readAgentConfig(flags: AgentFlags, configPath: string | undefined): AgentConfig {
  const environment = process.env;
  const base = { flags, environment, isRoot: process.getuid?.() === 0, home: homedir() };
  const path = configPath ?? environment[configVariable];
  if (path === undefined) return agentConfigFrom(base);
  if (!existsSync(path)) throw invalid(`there is no settings file ${path}`);
  try {
    return agentConfigFrom({ ...base, file: { path, text: readFileSync(path, 'utf8') } });
  } catch (error) {
    throw error instanceof AppError ? error : invalid(`${path}: ${messageOf(error)}`);
  }
}

/** The configuration as a settings file says it: what `--print-config` prints can be read again. */
export function fileFormOf({
  stateDir,
  scoring,
  grpc,
  telemetry,
  disk,
  link,
  log,
}: AgentConfig): Readonly<Record<string, unknown>> {
  return {
    stateDir,
    scoring: { address: scoring.address, port: scoring.port, maxBodyMegabytes: scoring.maxBodyBytes / megabyte },
    ...(grpc === undefined ? {} : { grpc }),
    telemetry: {
      intervalSeconds: telemetry.intervalMs / 1000,
      maxSpoolMegabytes: telemetry.maxSpoolBytes / megabyte,
      maxAgeHours: telemetry.maxAgeSeconds.telemetry / hourSeconds,
      maxEventAgeHours: telemetry.maxAgeSeconds.events / hourSeconds,
    },
    disk: { reserveMegabytes: disk.reserveBytes / megabyte },
    link: { keepaliveSeconds: link.keepaliveSeconds, maxReconnectSeconds: link.maxReconnectMs / 1000 },
    log,
  };
}

function shape(values: Settings, hostEnvironment: HostEnvironment): AgentConfig {
  return deepFreeze({
    stateDir: values.stateDir,
    scoring: {
      address: values['scoring.address'],
      port: values['scoring.port'],
      maxBodyBytes: values['scoring.maxBodyMegabytes'] * megabyte,
    },
    ...(values['grpc.port'] === undefined ? {} : { grpc: { port: values['grpc.port'] } }),
    telemetry: {
      intervalMs: Math.round(values['telemetry.intervalSeconds'] * 1000),
      maxSpoolBytes: values['telemetry.maxSpoolMegabytes'] * megabyte,
      maxAgeSeconds: {
        telemetry: values['telemetry.maxAgeHours'] * hourSeconds,
        events: values['telemetry.maxEventAgeHours'] * hourSeconds,
      },
    },
    disk: { reserveBytes: values['disk.reserveMegabytes'] * megabyte },
    link: {
      keepaliveSeconds: values['link.keepaliveSeconds'],
      maxReconnectMs: Math.round(values['link.maxReconnectSeconds'] * 1000),
    },
    log: { level: values['log.level'] },
    hostEnvironment,
  });
}

function defaults({ isRoot, home }: ConfigSources): { stateDir: string } {
  return { stateDir: isRoot ? '/var/lib/flotilla-agent' : join(home, '.local', 'state', 'flotilla-agent') };
}

function fromEnvironment(environment: ConfigSources['environment']): Record<string, string> {
  const known = new Map(settingNames.map((name) => [variableOf(name), name]));
  const values: Record<string, string> = {};
  const shared = environment['FLOTILLA_LOG_LEVEL'];
  if (shared !== undefined) values['log.level'] = shared;
  for (const [variable, value] of Object.entries(environment)) {
    if (!variable.startsWith(prefix) || value === undefined || variable === configVariable) continue;
    const name = known.get(variable);
    if (name === undefined)
      throw unknown(`environment variable ${variable}`, variable, [...known.keys(), configVariable]);
    values[name] = value;
  }
  return values;
}

function fromFile({ file }: ConfigSources): Record<string, unknown> {
  if (file === undefined) return {};
  let content: unknown;
  try {
    content = parseYaml(file.text) ?? {};
  } catch (error) {
    throw invalid(`${file.path} is not YAML: ${messageOf(error).split('\n', 1)[0] ?? ''}`);
  }
  const values: Record<string, unknown> = {};
  const walk = (node: unknown, path: string): void => {
    if (typeof node !== 'object' || node === null || Array.isArray(node)) {
      if (!isSetting(path)) throw unknown(`"${path}" in ${file.path}`, path, settingNames);
      values[path] = node;
      return;
    }
    for (const [key, inner] of Object.entries(node)) walk(inner, path === '' ? key : `${path}.${key}`);
  };
  if (typeof content !== 'object' || Array.isArray(content)) throw invalid(`${file.path} must be a map of settings`);
  walk(content, '');
  return values;
}

function isSetting(name: string): name is SettingName {
  return Object.hasOwn(settings, name);
}

function variableOf(name: string): string {
  return (
    prefix +
    name
      .replaceAll('.', '_')
      .replaceAll(/([a-z])([A-Z])/g, '$1_$2')
      .toUpperCase()
  );
}

function unknown(what: string, typed: string, valid: readonly string[]): AppError {
  const suggestion = nearest(typed, valid);
  return invalid(
    `unknown ${what}${suggestion === undefined ? `; known are ${valid.join(', ')}` : `, did you mean ${suggestion}?`}`,
  );
}

function invalid(message: string): AppError {
  return new AppError('config.invalid', message);
}

function deepFreeze<T extends object>(value: T): T {
  for (const inner of Object.values(value))
    if (typeof inner === 'object' && inner !== null) deepFreeze(inner as object);
  return Object.freeze(value);
}
