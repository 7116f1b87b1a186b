import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseProxy, proxyFor } from '#agent/link/proxy-choice.js';

const proxy = 'http://proxy.site:3128';
const via = { ok: true, value: { host: 'proxy.site', port: 3128 } };
const direct = { ok: true, value: undefined };

describe('which proxy stands between', () => {
  it.each([
    ['no setting', undefined, '', 'cloud.example', direct],
    ['an empty setting', '', '', 'cloud.example', direct],
    ['none', 'none', '', 'cloud.example', direct],
    ['a proxy', proxy, '', 'cloud.example', via],
    ['a proxy and a server on this machine', proxy, '', '127.0.0.1', direct],
    ['an exempt name', proxy, 'other, cloud.example', 'cloud.example', direct],
    ['an exempt name in capitals', proxy, 'CLOUD.example', 'cloud.EXAMPLE', direct],
    ['an exempt domain', proxy, '.example', 'cloud.example', direct],
    ['an exempt domain with a star', proxy, '*.example', 'cloud.example', direct],
    ['an exempt domain without a dot', proxy, 'example', 'cloud.example', direct],
    ['a name that only ends alike', proxy, 'loud.example', 'cloud.example', via],
    ['everything exempt', proxy, '*', 'cloud.example', direct],
    ['an exempt port', proxy, 'cloud.example:8883', 'cloud.example', direct],
    ['another port exempt', proxy, 'cloud.example:443', 'cloud.example', via],
    ['an exempt IPv6 address', proxy, 'fd00::1', 'fd00::1', direct],
    ['an exempt IPv6 address with port', proxy, '[fd00::1]:8883', 'fd00::1', direct],
  ])('%s', (_what, setting, noProxy, host, expected) => {
    expect(proxyFor({ host, port: 8883 }, { proxy: setting, noProxy })).toEqual(expected);
  });

  it('takes user and password out of the address, escapes undone', () => {
    expect(parseProxy('http://me:p%40ss%3A@10.0.0.1')).toEqual({
      ok: true,
      value: { host: '10.0.0.1', port: 80, authorization: `Basic ${btoa('me:p@ss:')}` },
    });
  });

  it.each([
    ['https://proxy:1', 'must begin with http://'],
    ['socks5://proxy:1', 'must begin with http://'],
    ['proxy:3128', 'must begin with http://'],
    ['http://proxy:1/path', 'nothing may follow'],
    ['http://me:100%@proxy:1', 'write it %25'],
    ['', 'no address'],
  ])('says what is wrong with %j', (text, message) => {
    const parsed = parseProxy(text);
    expect(parsed.ok ? '' : parsed.error).toContain(message);
  });

  it('never throws, and never repeats what it was given', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), fc.string({ minLength: 8 }), (host, noProxy, text) => {
        const found = proxyFor({ host, port: 1 }, { proxy: `http://u:${text}@h:1`, noProxy });
        if (!found.ok) expect(found.error).not.toContain(text);
      }),
    );
  });
});
