import { describe, expect, it } from 'vitest';
import { AppError } from '#shared/kernel/errors.js';
import { cloudSettings, isLoopback, loadConfig, printConfig, readCloudArguments } from '#cloud/config.js';

const none = { flags: {}, environment: {} };
const messageOf = (run: () => unknown): string => {
  try {
    run();
  } catch (error) {
    if (error instanceof AppError && error.code === 'config.invalid') return error.message;
    throw error;
  }
  return 'no error';
};

describe('the configuration', () => {
  it('without any source is safe: loopback only', () => {
    const config = loadConfig(none);
    expect(config).toMatchObject({
      http: { host: '127.0.0.1', port: 8080 },
      gateway: { host: '127.0.0.1', port: 8443 },
    });
    expect(config.limits.maxModelBytes).toBe(2 * 1024 ** 3);
    expect(Object.isFrozen(config) && Object.isFrozen(config.http)).toBe(true);
  });

  it('takes flags over environment over file', () => {
    const file = { path: 'f.yaml', text: 'http: { port: 1, host: localhost }\ndataDir: from-file\nlogLevel: warn\n' };
    const environment = { FLOTILLA_HTTP_PORT: '2', FLOTILLA_DATA_DIR: 'from-environment', FLOTILLA_LOG_LEVEL: 'debug' };
    const config = loadConfig({ flags: { 'http-port': '3', 'data-dir': 'from-flag' }, environment, file });
    expect(config).toMatchObject({ dataDir: 'from-flag', logLevel: 'debug', http: { port: 3, host: 'localhost' } });
  });

  it.each([
    ['a flag', { ...none, flags: { 'htp-port': '1' } }, 'unknown flag --htp-port; did you mean --http-port?'],
    [
      'a variable of one of our sections',
      { ...none, environment: { FLOTILLA_HTTP_PROT: '1' } },
      'unknown environment variable FLOTILLA_HTTP_PROT; did you mean FLOTILLA_HTTP_PORT?',
    ],
    [
      'a mistyped variable without a section',
      { ...none, environment: { FLOTILLA_DATADIR: '/x' } },
      'unknown environment variable FLOTILLA_DATADIR; did you mean FLOTILLA_DATA_DIR?',
    ],
    [
      'a key of the file',
      { ...none, file: { path: 'f.yaml', text: 'http: { prot: 1 }' } },
      'unknown setting http.prot in f.yaml; did you mean http.port?',
    ],
  ])('refuses %s that it does not know and names the nearest', (_what, sources, message) => {
    expect(messageOf(() => loadConfig(sources))).toBe(message);
  });

  it('leaves the variables of other programs alone', () => {
    expect(() =>
      loadConfig({ ...none, environment: { FLOTILLA_TOKEN: 'x', FLOTILLA_URL: 'y', HOME: 'z' } }),
    ).not.toThrow();
  });

  it('names the setting, its flag and its variable where a value is wrong', () => {
    const message = messageOf(() => loadConfig({ ...none, flags: { 'http-port': 'eighty' } }));
    expect(message).toContain('http.port (--http-port, FLOTILLA_HTTP_PORT)');
    expect(messageOf(() => loadConfig({ ...none, flags: { 'http-port': '70000' } }))).toContain('http.port');
  });

  it('refuses a file that is not YAML, no mapping, or has a value where a section is', () => {
    const load = (text: string): string => messageOf(() => loadConfig({ ...none, file: { path: 'f.yaml', text } }));
    expect(load('a: [')).toContain('f.yaml is not YAML');
    expect(load('- 1')).toContain('must be a mapping');
    expect(load('http: 8080')).toContain('http in f.yaml must be a mapping');
    expect(load('')).toBe('no error');
  });

  it('refuses to serve other machines without TLS, unless a proxy ends it, and says how', () => {
    const load = (flags: Record<string, string>): string => messageOf(() => loadConfig({ ...none, flags }));
    const open = { 'http-host': '0.0.0.0', 'http-tls': 'off' };
    expect(load(open)).toContain('http.behindProxy');
    expect(load({ ...open, 'http-behind-proxy': 'true' })).toBe('no error');
    expect(load({ 'http-host': '0.0.0.0' })).toBe('no error');
    expect(load({ 'http-tls': 'off' })).toBe('no error');
  });

  it('takes certificate files both, and with http.tls files only', () => {
    const load = (flags: Record<string, string>): string => messageOf(() => loadConfig({ ...none, flags }));
    const files = { 'http-tls-cert-file': 'c.pem', 'http-tls-key-file': 'k.pem' };
    expect(load({ ...files, 'http-tls': 'files' })).toBe('no error');
    expect(load(files)).toContain('http.tls is generated');
    expect(load({ 'http-tls': 'files', 'http-tls-cert-file': 'c.pem' })).toContain('both');
  });

  it('knows what loopback is', () => {
    expect(['localhost', '127.0.0.1', '127.9.9.9', '::1'].every(isLoopback)).toBe(true);
    expect(['0.0.0.0', '::', '10.0.0.1', '127.0.0.1.example.org', 'example.org'].some(isLoopback)).toBe(false);
  });

  it('needs a URL for an external broker', () => {
    expect(messageOf(() => loadConfig({ ...none, flags: { 'broker-kind': 'external' } }))).toContain('broker.url');
  });

  it('gives every setting one flag and one variable, and a description', () => {
    const settings = cloudSettings();
    expect(new Set(settings.map(({ flag }) => flag)).size).toBe(settings.length);
    expect(new Set(settings.map(({ variable }) => variable)).size).toBe(settings.length);
    expect(settings.filter(({ description }) => description === '')).toEqual([]);
    expect(settings).toContainEqual(
      expect.objectContaining({ path: 'http.port', flag: 'http-port', variable: 'FLOTILLA_HTTP_PORT' }),
    );
  });

  it('is printed with the credentials of a URL masked', () => {
    const config = loadConfig({
      ...none,
      flags: { 'broker-kind': 'external', 'broker-url': 'mqtts://me:hunter2@broker:8883' },
    });
    expect(printConfig(config)).toContain('mqtts://***@broker:8883');
    expect(printConfig(config)).not.toContain('hunter2');
  });
});

describe('the command line', () => {
  const read = (...argv: string[]): ReturnType<typeof readCloudArguments> => readCloudArguments(argv, {});
  const problem = async (...argv: string[]): Promise<string> =>
    read(...argv).then(
      () => 'no error',
      (error: Error) => error.message,
    );

  it('takes --flag value and --flag=value, and the switches', async () => {
    const { config, printConfig: wanted } = await read('--http-port', '9', '--data-dir=x', '--print-config');
    expect(config).toMatchObject({ http: { port: 9 }, dataDir: 'x' });
    expect(wanted).toBe(true);
  });

  it('refuses unknown flags, arguments, missing values and missing files', async () => {
    expect(await problem('--http-prt', '9')).toContain('did you mean --http-port');
    expect(await problem('extra')).toContain('unexpected argument "extra"');
    expect(await problem('--http-port')).toContain('--http-port needs a value');
    expect(await problem('--config', '/nope.yaml')).toContain('/nope.yaml');
  });
});
