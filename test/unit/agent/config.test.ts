import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { agentConfigFrom, type ConfigSources, fileFormOf } from '#agent/config.js';
import { agentVersion } from '#agent/version.js';

const from = (sources: Partial<ConfigSources>) =>
  agentConfigFrom({ flags: {}, environment: {}, isRoot: false, home: '/home/me', ...sources });
const file = (text: string) => ({ path: '/etc/agent.yaml', text });

describe('the settings of the agent', () => {
  it('have defaults, by user', () => {
    expect(from({})).toMatchObject({
      stateDir: '/home/me/.local/state/flotilla-agent',
      scoring: { address: '127.0.0.1', port: 8800 },
      telemetry: { intervalMs: 10_000 },
      log: { level: 'info' },
    });
    expect(from({ isRoot: true }).stateDir).toBe('/var/lib/flotilla-agent');
  });

  it('take flags over the environment over the file', () => {
    const text = 'scoring: { port: 1, address: "::1" }\ntelemetry:\n  intervalSeconds: 3\n';
    const environment = { FLOTILLA_AGENT_SCORING_PORT: '2', FLOTILLA_AGENT_TELEMETRY_INTERVAL_SECONDS: '4' };
    expect(from({ flags: { 'scoring.port': '3' }, environment, file: file(text) })).toMatchObject({
      scoring: { port: 3, address: '::1' },
      telemetry: { intervalMs: 4000 },
    });
  });

  it('have no gRPC unless its port is given, by flag or environment', () => {
    expect(from({}).grpc).toBeUndefined();
    expect(from({ flags: { 'grpc.port': '0' } }).grpc).toEqual({ port: 0 });
    const config = from({ environment: { FLOTILLA_AGENT_GRPC_PORT: '8801' } });
    expect(config.grpc).toEqual({ port: 8801 });
    expect(from({ file: file(JSON.stringify(fileFormOf(config))) })).toEqual(config);
  });

  it('are printed in the form of a file that says the same', () => {
    const config = from({ flags: { 'scoring.port': '9', 'telemetry.intervalSeconds': '0.5' } });
    expect(from({ file: file(JSON.stringify(fileFormOf(config))) })).toEqual(config);
  });

  it('say who may score, by which names and from which pages', () => {
    expect(from({}).scoring).toMatchObject({ access: undefined, hostNames: [], corsOrigins: [] });
    const config = from({
      flags: { 'scoring.access': 'keys' },
      environment: { FLOTILLA_AGENT_SCORING_HOST_NAMES: 'Edge-1, edge-1.example' },
      file: file('scoring: { corsOrigins: ["https://App.example"] }\nlocal: { socket: /run/a.sock, socketGroup: 44 }'),
    });
    expect(config).toMatchObject({
      scoring: { access: 'keys', hostNames: ['edge-1', 'edge-1.example'], corsOrigins: ['https://app.example'] },
      local: { socket: '/run/a.sock', socketGroup: '44' },
    });
    expect(from({ file: file(JSON.stringify(fileFormOf(config))) })).toEqual(config);
  });

  it('cannot be changed', () => {
    const config = from({});
    expect(() => Object.assign(config.scoring, { port: 1 })).toThrow();
  });

  it.each([
    [{ environment: { FLOTILLA_AGENT_SCORING_PROT: '1' } }, 'FLOTILLA_AGENT_SCORING_PORT'],
    [{ file: file('scoring: { prot: 1 }') }, 'scoring.port'],
    [{ file: file('stateDri: /x') }, 'stateDir'],
  ])('name the nearest to an unknown key: %j', (sources, nearest) => {
    expect(() => from(sources)).toThrow(`did you mean ${nearest}?`);
  });

  it.each([
    [{ flags: { 'scoring.port': '99999' } }, 'scoring.port'],
    [{ flags: { 'scoring.port': 'x' } }, 'FLOTILLA_AGENT_SCORING_PORT'],
    [{ flags: { 'scoring.address': 'localhost' } }, 'must be an IP address'],
    [{ file: file('a: [1') }, 'is not YAML'],
    [{ file: file('- 1') }, 'must be a map'],
    [{ environment: { FLOTILLA_LOG_LEVEL: 'loud' } }, 'log.level'],
    [{ flags: { 'scoring.hostNames': 'edge:1' } }, 'scoring.hostNames: must be host names without a port'],
    [{ flags: { 'scoring.corsOrigins': 'app.example' } }, 'https://app.example'],
    [{ flags: { 'local.socketGroup': 'flotilla' } }, 'set local.socket to a path outside'],
  ])('are refused with the place and the remedy: %j', (sources, words) => {
    expect(() => from(sources)).toThrow(words);
  });
});

it("the agent's version is the package's", () => {
  const { version } = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  expect(agentVersion).toBe(version);
});
