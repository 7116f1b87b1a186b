import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { redact, textsIn } from '#shared/kernel/redaction.js';

const secret = fc.string({ minLength: 4, maxLength: 60 }).filter((text) => !'[hidden]'.includes(text));

describe('redaction', () => {
  it('leaves no known secret in any text, as it is or as JSON writes it', () => {
    fc.assert(
      fc.property(fc.array(secret, { minLength: 1, maxLength: 5 }), fc.array(fc.string()), (secrets, between) => {
        const text = secrets
          .map((one, index) => `${between[index] ?? ''} ${one} ${JSON.stringify({ one })}`)
          .join('\n');
        const clean = redact(text, secrets);
        for (const one of secrets) {
          expect(clean.replaceAll('[hidden]', '')).not.toContain(`${one} {`);
          expect(clean).not.toContain(JSON.stringify(one));
        }
      }),
    );
  });

  it.each([
    ['a private key', '-----BEGIN PRIVATE KEY-----\nMC4CAQ\n-----END PRIVATE KEY-----', 'MC4CAQ'],
    ['a private key that was cut off', 'x -----BEGIN EC PRIVATE KEY-----\nMC4CAQ', 'MC4CAQ'],
    ['an enrolment token', '--token flotilla-enrol-1.eyJ1cmwi', 'eyJ1cmwi'],
    ['an API token', 'FLOTILLA_TOKEN=flt_abc_DEF-123', 'abc_DEF'],
    ['a bearer', 'authorization: Bearer aaa.bbb.ccc', 'aaa.bbb'],
    ['a password in a URL', 'proxy http://user:pass@proxy:3128 refused', 'pass'],
  ])('hides %s that nobody named', (_what, text, gone) => {
    expect(redact(text)).not.toContain(gone);
    expect(redact(text)).toContain('[hidden]');
  });

  it('leaves ordinary words alone', () => {
    const text = 'module digits:2 sha256:abcd answered http://127.0.0.1:8800/score in 3 ms; a bearer of news';
    expect(redact(text, ['abc', ''])).toBe(text);
  });

  it('finds every text in a value, however deep', () => {
    expect(textsIn({ a: ['b', { c: 'd' }], e: 1, f: null, g: 'h' })).toEqual(['b', 'd', 'h']);
  });
});
