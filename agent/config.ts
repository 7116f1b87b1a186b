/**
 * The agent's settings: flags over environment (`FLOTILLA_AGENT_*`) over file (YAML), one schema. The
 * only reader of the environment; `agentConfigFrom` is a pure function of what it is given.
 */
import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { parse as parseYaml } from 'yaml';
import * as z from 'zod';
import { AppError, messageOf } from '#shared/kernel/errors.js';
import { nearest } from '#shared/kernel/names.js';
import type { AccessSettings } from '#shared/scoring/access/access-settings.js';
import type { ProxySettings } from '#agent/link/proxy-choice.js';
import type { TransportSetting } from '#agent/link/transport-choice.js';
import type { StreamKind } from '#shared/protocol/stream.js';
import { type SiteConfig, siteConfigOf, siteFileForm } from '#agent/routes/route-settings.js';
import { type ModulesConfig, modulesConfigOf, modulesFileForm } from '#agent/serving/module-settings.js';
import { collectFileForm, type CollectSettings, collectSettingsOf } from '#agent/collect/collect-settings.js';
import { type HostEnvironment, inheritedEnvironment } from '#agent/providers/loader-environment.js';
import {
  agentSettingNames,
  agentSettings,
  type AgentSettingName,
  agentVariableOf,
  agentVariablePrefix,
} from '#agent/config-schema.js';

const megabyte = 1024 * 1024;
const hourSeconds = 3600;

const schema = z.object(agentSettings);
type Settings = z.infer<typeof schema>;

export interface AgentConfig extends SiteConfig {
  readonly stateDir: string;
  /** Absent: that of the system. */
  readonly timeZone?: string;
  readonly scoring: AccessSettings & { readonly port: number; readonly maxBodyBytes: number };
  /** On the address of scoring; absent: none. */
  readonly grpc?: { readonly port: number };
  readonly local: { readonly socket: string | undefined; readonly socketGroup: string | undefined };
  readonly telemetry: {
    readonly intervalMs: number;
    readonly maxSpoolBytes: number;
    /** By the device's age clock: see agent/store/lived-time.ts. */
    readonly maxAgeSeconds: Readonly<Record<StreamKind, number>>;
  };
  readonly collect: CollectSettings;
  readonly disk: { readonly reserveBytes: number };
  readonly link: {
    readonly keepaliveSeconds: number;
    readonly maxReconnectMs: number;
    readonly transport: TransportSetting;
    /** Holds a password, perhaps. */
    readonly proxy: ProxySettings;
  };
  readonly modules: ModulesConfig;
  readonly log: { readonly level: string };
  /** What scoring hosts inherit, so that drivers and libraries are found. */
  readonly hostEnvironment: HostEnvironment;
}

export type AgentFlags = Readonly<Partial<Record<AgentSettingName, string>>>;

export interface ConfigSources {
  readonly flags: AgentFlags;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly file?: { readonly path: string; readonly text: string };
  readonly isRoot: boolean;
  readonly home: string;
}

/** Where the file is, which the file itself cannot say. */
const configVariable = `${agentVariablePrefix}CONFIG`;

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
      `${name}: ${issue?.message ?? 'not valid'}; set it by flag, ${agentVariableOf(name)} or the settings file`,
    );
  }
  const { data } = parsed;
  if (data['local.socketGroup'] !== undefined && data['local.socket'] === undefined) {
    throw invalid(
      'local.socketGroup: no group can enter the state folder; set local.socket to a path outside, for example /run/flotilla-agent/agent.sock',
    );
  }
  return shape(data, inheritedEnvironment(sources.environment));
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
  timeZone,
  scoring,
  grpc,
  local,
  telemetry,
  collect,
  disk,
  link,
  modules,
  routes,
  mqtt,
  log,
}: AgentConfig): Readonly<Record<string, unknown>> {
  return {
    stateDir,
    ...(timeZone === undefined ? {} : { timeZone }),
    scoring: {
      address: scoring.address,
      port: scoring.port,
      maxBodyMegabytes: scoring.maxBodyBytes / megabyte,
      ...(scoring.access === undefined ? {} : { access: scoring.access }),
      hostNames: scoring.hostNames,
      corsOrigins: scoring.corsOrigins,
    },
    ...(grpc === undefined ? {} : { grpc }),
    ...(local.socket === undefined ? {} : { local: JSON.parse(JSON.stringify(local)) as unknown }),
    telemetry: {
      intervalSeconds: telemetry.intervalMs / 1000,
      maxSpoolMegabytes: telemetry.maxSpoolBytes / megabyte,
      maxAgeHours: telemetry.maxAgeSeconds.telemetry / hourSeconds,
      maxEventAgeHours: telemetry.maxAgeSeconds.events / hourSeconds,
    },
    collect: collectFileForm(collect),
    disk: { reserveMegabytes: disk.reserveBytes / megabyte },
    link: {
      keepaliveSeconds: link.keepaliveSeconds,
      maxReconnectSeconds: link.maxReconnectMs / 1000,
      transport: link.transport,
      ...(link.proxy.proxy === undefined ? {} : { proxy: withoutPassword(link.proxy.proxy) }),
      noProxy: link.proxy.noProxy,
    },
    modules: modulesFileForm(modules),
    ...siteFileForm({ routes, mqtt }),
    log,
  };
}

function shape(values: Settings, hostEnvironment: HostEnvironment): AgentConfig {
  return deepFreeze({
    stateDir: values.stateDir,
    ...(values.timeZone === undefined ? {} : { timeZone: values.timeZone }),
    scoring: {
      address: values['scoring.address'],
      port: values['scoring.port'],
      maxBodyBytes: values['scoring.maxBodyMegabytes'] * megabyte,
      access: values['scoring.access'],
      hostNames: values['scoring.hostNames'],
      corsOrigins: values['scoring.corsOrigins'],
    },
    ...(values['grpc.port'] === undefined ? {} : { grpc: { port: values['grpc.port'] } }),
    local: { socket: values['local.socket'], socketGroup: values['local.socketGroup'] },
    telemetry: {
      intervalMs: Math.round(values['telemetry.intervalSeconds'] * 1000),
      maxSpoolBytes: values['telemetry.maxSpoolMegabytes'] * megabyte,
      maxAgeSeconds: {
        telemetry: values['telemetry.maxAgeHours'] * hourSeconds,
        events: values['telemetry.maxEventAgeHours'] * hourSeconds,
      },
    },
    collect: collectSettingsOf(values),
    disk: { reserveBytes: values['disk.reserveMegabytes'] * megabyte },
    link: {
      keepaliveSeconds: values['link.keepaliveSeconds'],
      maxReconnectMs: Math.round(values['link.maxReconnectSeconds'] * 1000),
      transport: values['link.transport'],
      proxy: { proxy: values['link.proxy'], noProxy: values['link.noProxy'] },
    },
    modules: modulesConfigOf(values),
    ...siteConfigOf(values),
    log: { level: values['log.level'] },
    hostEnvironment,
  });
}

function defaults({ isRoot, home }: ConfigSources): { stateDir: string } {
  return { stateDir: isRoot ? '/var/lib/flotilla-agent' : join(home, '.local', 'state', 'flotilla-agent') };
}

function fromEnvironment(environment: ConfigSources['environment']): Record<string, string> {
  const known = new Map(agentSettingNames.map((name) => [agentVariableOf(name), name]));
  const values: Record<string, string> = {};
  const shared = environment['FLOTILLA_LOG_LEVEL'];
  if (shared !== undefined) values['log.level'] = shared;
  // As curl and others read them: the small letters first.
  const proxy = environment['https_proxy'] ?? environment['HTTPS_PROXY'];
  if (proxy !== undefined && proxy !== '') values['link.proxy'] = proxy;
  const noProxy = environment['no_proxy'] ?? environment['NO_PROXY'];
  if (noProxy !== undefined) values['link.noProxy'] = noProxy;
  for (const [variable, value] of Object.entries(environment)) {
    if (!variable.startsWith(agentVariablePrefix) || value === undefined || variable === configVariable) continue;
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
      if (!isSetting(path)) throw unknown(`"${path}" in ${file.path}`, path, agentSettingNames);
      values[path] = node;
      return;
    }
    for (const [key, inner] of Object.entries(node)) walk(inner, path === '' ? key : `${path}.${key}`);
  };
  if (typeof content !== 'object' || Array.isArray(content)) throw invalid(`${file.path} must be a map of settings`);
  walk(content, '');
  return values;
}

/** For printing: who knows the proxy needs not know who may pass it. */
function withoutPassword(proxy: string): string {
  return proxy.replace(/\/\/[^/@]*@/, '//***@');
}

function isSetting(name: string): name is AgentSettingName {
  return Object.hasOwn(agentSettings, name);
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
