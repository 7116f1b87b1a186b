import { stat } from 'node:fs/promises';
import * as fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { AppError } from '#shared/kernel/errors.js';
import { loadCliConfig, type CliConfig } from '#cloud/cli/cli-config.js';
import {
  chooseTarget,
  type ContextFile,
  contextPath,
  parseContextFile,
  parseServerUrl,
  readContextFile,
  writeContextFile,
} from '#cloud/cli/context-file.js';
import { CliHarness } from '#test/support/cli/cli-harness.js';

const nothing: CliConfig = { home: '/nowhere', url: undefined, token: undefined, workspace: undefined };
const file: ContextFile = {
  schema: 1,
  current: 'lab',
  contexts: {
    lab: { url: 'http://lab.example:8080', workspace: 'plant-1', token: 'lab-token' },
    live: { url: 'https://live.example/fleet', workspace: 'default', token: 'live-token' },
  },
};

describe('the control plane a command talks to', () => {
  it('is the current login', () => {
    const target = chooseTarget({}, nothing, file);
    expect(target).toMatchObject({ token: 'lab-token', workspace: 'plant-1' });
    expect(target.url.href).toBe('http://lab.example:8080/');
  });
  it('is the login that --context names, whatever the environment says', () => {
    const config = { ...nothing, url: 'http://env.example', token: 'env-token' };
    expect(chooseTarget({ context: 'live' }, config, file)).toMatchObject({ token: 'live-token' });
  });
  it('is that of the environment, which needs no login', () => {
    const config = { ...nothing, url: 'http://env.example', token: 'env-token' };
    expect(chooseTarget({}, config, undefined)).toMatchObject({ token: 'env-token', workspace: 'default' });
  });
  it('gets no token that was stored for another', () => {
    expect(() => chooseTarget({}, { ...nothing, url: 'http://env.example' }, file)).toThrow(
      /no token for http:\/\/env/,
    );
  });
  it('gets the stored token when the environment names the same one', () => {
    const target = chooseTarget({}, { ...nothing, url: 'http://lab.example:8080/' }, file);
    expect(target).toMatchObject({ token: 'lab-token', workspace: 'plant-1' });
  });
  it('takes the workspace from flag, environment, login, in this order', () => {
    const config = { ...nothing, workspace: 'from-env' };
    expect(chooseTarget({ workspace: 'from-flag' }, config, file).workspace).toBe('from-flag');
    expect(chooseTarget({}, config, file).workspace).toBe('from-env');
    expect(chooseTarget({}, nothing, file).workspace).toBe('plant-1');
  });
  it('is unknown without login and environment', () => {
    expect(() => chooseTarget({}, nothing, undefined)).toThrow(/not logged in/);
  });
  it('says which login was meant', () => {
    expect(() => chooseTarget({ context: 'liv' }, nothing, file)).toThrow(/did you mean live\?/);
  });
});

describe("a control plane's URL", () => {
  it('loses slashes at its end, and keeps a path', () => {
    expect(parseServerUrl('http://a:1/').href).toBe('http://a:1/');
    expect(parseServerUrl('https://a/b//').href).toBe('https://a/b');
  });
  it.each(['', 'localhost:8080', 'ftp://a', '//a', 'mqtt://a'])('is refused: %j', (text) => {
    expect(() => parseServerUrl(text)).toThrow(AppError);
  });
  it('is refused with a password, which is not repeated', () => {
    const refuse = (): unknown => parseServerUrl('http://me:hush@a');
    expect(refuse).toThrow(/no user name or password/);
    expect(refuse).not.toThrow(/hush/);
  });
});

describe('context.json', () => {
  let cli: CliHarness | undefined;
  afterEach(() => cli?.remove());

  it('reads back what was written, and only its owner may', async () => {
    cli = await CliHarness.make();
    expect(await readContextFile(cli.home)).toBeUndefined();
    await writeContextFile(cli.home, file);
    expect(await readContextFile(cli.home)).toEqual(file);
    expect((await stat(contextPath(cli.home))).mode & 0o777).toBe(0o600);
  });

  it('is understood or refused as config.invalid, whatever it holds', () => {
    const broken = fc.oneof(fc.string(), fc.json(), fc.constant(JSON.stringify({ ...file, extra: 1 })));
    fc.assert(
      fc.property(broken, (text) => {
        expect(() => parseContextFile(text, 'context.json')).toThrow(AppError);
      }),
    );
    expect(parseContextFile(JSON.stringify(file), 'context.json')).toEqual(file);
  });
});

describe('the configuration', () => {
  it('takes what the environment says', () => {
    const config = loadCliConfig({
      FLOTILLA_HOME: '/h',
      FLOTILLA_URL: 'u',
      FLOTILLA_TOKEN: 't',
      FLOTILLA_WORKSPACE: 'w',
    });
    expect(config).toEqual({ home: '/h', url: 'u', token: 't', workspace: 'w' });
    expect(Object.isFrozen(config)).toBe(true);
  });
  it('has its home in the configuration folder, and takes empty for unset', () => {
    expect(loadCliConfig({ HOME: '/u', FLOTILLA_URL: '' })).toMatchObject({
      home: '/u/.config/flotilla',
      url: undefined,
    });
    expect(loadCliConfig({ HOME: '/u', XDG_CONFIG_HOME: '/x' }).home).toBe('/x/flotilla');
  });
});
