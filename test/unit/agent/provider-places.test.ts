import { describe, expect, it } from 'vitest';
import { inheritedEnvironment, loaderEnvironment } from '#agent/providers/loader-environment.js';
import { librarySources } from '#agent/providers/library-source.js';
import { originOf, providerNames } from '#agent/providers/platform-providers.js';
import { nodesText, ranOnLines } from '#shared/supervisor/ran-on.js';

const digest = 'a'.repeat(64);

describe('what a scoring host inherits', () => {
  it("is the variables of drivers and loaders, and nothing else of the agent's", () => {
    const environment = {
      LD_LIBRARY_PATH: '/cuda',
      VK_ICD_FILENAMES: '/v.json',
      HOME: '/root',
      TOKEN: 'x',
      CUDA_PATH: '',
    };
    expect(inheritedEnvironment(environment)).toEqual({ LD_LIBRARY_PATH: '/cuda', VK_ICD_FILENAMES: '/v.json' });
  });

  it('has the folder of installed providers before other libraries on Linux', () => {
    expect(loaderEnvironment({}, '/state/p', 'linux')).toEqual({ LD_LIBRARY_PATH: '/state/p' });
    expect(loaderEnvironment({ LD_LIBRARY_PATH: '/cuda' }, '/state/p', 'linux')).toEqual({
      LD_LIBRARY_PATH: '/state/p:/cuda',
    });
    expect(loaderEnvironment({}, '/state/p', 'darwin')).toEqual({});
  });

  it('does not take a folder whose name would be two', () => {
    expect(loaderEnvironment({}, '/state:/tmp', 'linux')).toEqual({});
  });
});

describe('a source of libraries', () => {
  it('is a path, or an https address of which the query is shown to nobody', () => {
    const [file, url] = librarySources(
      ['./a.nupkg', 'https://host/dir/b.tgz?signature=secret'],
      [digest, `sha256:${digest.toUpperCase()}`],
    );
    expect(file).toMatchObject({ kind: 'file', path: './a.nupkg', shown: './a.nupkg', sha256: digest });
    expect(url).toMatchObject({ kind: 'url', shown: 'https://host/dir/b.tgz', sha256: digest });
  });

  it.each([
    [['http://host/a'], [digest], /http:.*is not fetched/],
    [['ftp://host/a'], [digest], /is not fetched/],
    [['file:///etc/passwd'], [digest], /is not fetched/],
    [['https://me:hunter2@host/a'], [digest], /user or password/],
    [['a', 'b'], [digest], /one --sha256 for each --from/],
    [[], [], /one --sha256/],
    [['a'], ['abc'], /64 hexadecimal digits/],
  ])('is refused otherwise: %j', (from, sha256, words) => {
    expect(() => librarySources(from, sha256)).toThrow(words);
  });

  it('with a password in it is refused without repeating it', () => {
    expect(() => librarySources(['https://me:hunter2@host/a?k=hunter2'], [digest])).toThrow(/^(?!.*hunter2)/s);
  });
});

describe('providers by platform', () => {
  it.each([
    ['linux-x64', ['bundled', 'bundled', 'to-install', 'to-install', 'not-here', 'not-here']],
    ['linux-arm64', ['bundled', 'not-here', 'not-here', 'not-here', 'not-here', 'not-here']],
    ['darwin-arm64', ['bundled', 'bundled', 'not-here', 'not-here', 'bundled', 'not-here']],
    ['win32-x64', ['bundled', 'bundled', 'not-here', 'not-here', 'not-here', 'bundled']],
  ])('are what onnxruntime-node has on %s', (platform, origins) => {
    expect(providerNames.map((provider) => originOf(provider, platform))).toEqual(origins);
  });
});

describe('what a module ran on', () => {
  it('names the nodes that are elsewhere, the most first', () => {
    expect(nodesText({ cpu: 3, webgpu: 117 })).toBe('117 of 120 nodes on webgpu, 3 on cpu');
  });

  it('is silent where the CPU was all that was asked for, and has each fallback otherwise', () => {
    const module = {
      name: 'm',
      provider: 'cpu',
      models: [{ name: 'm', provider: 'cpu', inline: false, maxBatchRows: 0, batchingReason: '' }],
    };
    expect(ranOnLines({ ...module, fallbacks: [] })).toEqual([]);
    expect(ranOnLines({ ...module, fallbacks: [{ provider: 'cuda', reason: 'no driver' }] })).toEqual([
      'not on cuda: no driver',
    ]);
  });
});
