import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AppError } from '#shared/kernel/errors.js';
import { newApiToken, parseApiToken, sameSecret } from '#cloud/auth/api-token.js';
import { readBearer } from '#cloud/auth/bearer.js';
import { principalOf } from '#cloud/auth/oidc/oidc-claims.js';
import { grantedUntil } from '#cloud/auth/token-grant.js';
import { isAtLeast, roles } from '#cloud/auth/role.js';
import { parseContextFile } from '#cloud/cli/context-file.js';
import { parseFingerprint } from '#cloud/client/server-authority.js';

const role = fc.constantFrom(...roles);
const workspace = fc.constantFrom(null, 'a', 'b');

/** What it gives, or undefined for an AppError; anything else is a bug. */
function orRefused<T>(act: () => T): T | undefined {
  try {
    return act();
  } catch (error) {
    if (error instanceof AppError) return undefined;
    throw error;
  }
}

describe('an API token', () => {
  it('reads back what was made, and with any one character changed is another or none', () => {
    fc.assert(
      fc.property(fc.nat(), fc.string({ unit: 'binary-ascii', minLength: 1, maxLength: 1 }), (index, character) => {
        const made = newApiToken();
        const read = parseApiToken(made.text);
        expect(read).toEqual({ id: made.id, secretHash: made.secretHash });
        const at = index % made.text.length;
        fc.pre(made.text[at] !== character);
        const other = parseApiToken(made.text.slice(0, at) + character + made.text.slice(at + 1));
        // The last character carries two bits that are none of the secret's, yet its text is what is hashed.
        if (other) expect(other.id === made.id && sameSecret(other, made.secretHash)).toBe(false);
      }),
    );
  });

  it('is nothing that merely looks like one', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary-ascii' }), (text) => {
        expect(parseApiToken(text)).toBeUndefined();
        expect(parseApiToken(`flt_${text}`)).toBeUndefined();
      }),
    );
  });
});

describe('the Authorization header', () => {
  it('gives its token whole, or an error that repeats nothing of it', () => {
    const visible = fc.string({
      unit: fc.integer({ min: 0x21, max: 0x7e }).map((code) => String.fromCharCode(code)),
      minLength: 1,
    });
    fc.assert(
      fc.property(visible, fc.constantFrom('Bearer ', 'bearer ', 'BEARER   '), (token, scheme) => {
        expect(readBearer(scheme + token)).toBe(token);
      }),
    );
    const header = fc.oneof(
      fc.string({ unit: 'binary-ascii' }),
      fc.string().map((text) => `Bearer ${text}`),
    );
    fc.assert(
      fc.property(header, (text) => {
        const token = orRefused(() => readBearer(text));
        expect(token === undefined || (/^bearer /i.test(text) && text.endsWith(` ${token}`))).toBe(true);
      }),
    );
    expect(() => readBearer('Bearer canary canary')).not.toThrow(/canary/);
    expect(() => readBearer(`Bearer ${'x'.repeat(10_000)}`)).toThrow(AppError);
  });
});

describe('a grant', () => {
  it('is never stronger than its maker, in role, reach or duration', () => {
    const maker = fc.record({
      ...{ kind: fc.constant('token' as const), id: fc.constant('i'), name: fc.constant('n'), role, workspace },
      expiresAtMs: fc.option(fc.integer({ min: 1, max: 100 }), { nil: undefined }),
    });
    const wish = fc.record({ role, workspace, ttlMs: fc.option(fc.integer({ min: 1, max: 200 }), { nil: undefined }) });
    fc.assert(
      fc.property(maker, wish, fc.integer({ min: 0, max: 50 }), (by, asked, nowMs) => {
        let refused = false;
        let until: number | undefined;
        try {
          until = grantedUntil(by, asked, nowMs);
        } catch (error) {
          if (!(error instanceof AppError)) throw error;
          refused = true;
        }
        const reaches = by.workspace === null || by.workspace === asked.workspace;
        const ends = asked.ttlMs === undefined ? Number.POSITIVE_INFINITY : nowMs + asked.ttlMs;
        const allowed =
          isAtLeast(by.role, asked.role) && reaches && ends <= (by.expiresAtMs ?? Number.POSITIVE_INFINITY);
        expect(refused).toBe(!allowed);
        if (!refused) expect(until ?? Number.POSITIVE_INFINITY).toBe(ends);
      }),
    );
  });
});

describe('claims of a login', () => {
  it('of any form give a mapped role or a refusal', () => {
    const settings = {
      ...{
        issuer: 'https://i',
        audience: 'a',
        clientId: 'c',
        scopes: '',
        rolesClaim: 'realm.roles',
        workspaceClaim: 'w',
      },
      mapping: { ops: 'contributor' as const },
    };
    fc.assert(
      fc.property(
        fc.dictionary(fc.constantFrom('realm', 'realm.roles', 'w', 'sub', 'exp', '__proto__'), fc.jsonValue()),
        (claims) => {
          const principal = orRefused(() => principalOf(claims, settings));
          if (principal) expect(principal.role).toBe('contributor');
        },
      ),
      { examples: [[{ sub: [{ toString: null }] }], [{ 'realm.roles': ['ops'], w: '*' }]] },
    );
    expect(() => principalOf({ realm: { roles: ['ops'] }, w: 'plant' }, settings)).toThrow('your login names nobody');
    expect(principalOf({ sub: 's', realm: { roles: ['ops'] }, w: 'plant' }, settings)).toMatchObject({
      workspace: 'plant',
    });
  });
});

describe('what the command line reads', () => {
  it('as context file is one, or an error that names the file and tells nothing of it', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.json(),
          fc.string().map((token) => `{"schema":1,"current":"a","contexts":{"a":{"token":"canary","${token}":1}}}`),
        ),
        (text) => {
          try {
            expect(parseContextFile(text, '/c.json').schema).toBe(1);
          } catch (error) {
            if (!(error instanceof AppError)) throw error;
            expect(error.message).toContain('/c.json');
            expect(error.message).not.toContain('canary');
          }
        },
      ),
    );
  });

  it('as fingerprint is 64 hex digits, however they are pasted', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (bytes) => {
        const hex = Buffer.from(bytes).toString('hex');
        expect(parseFingerprint(hex.toUpperCase().match(/../g)?.join(':') ?? '')).toBe(hex);
        expect(parseFingerprint(`sha256:${hex}`)).toBe(hex);
        expect(parseFingerprint(hex.slice(1))).toBeUndefined();
      }),
    );
    fc.assert(fc.property(fc.string(), (text) => parseFingerprint(text) === undefined));
  });
});
