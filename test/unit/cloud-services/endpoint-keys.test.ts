import { createHash } from 'node:crypto';
import { createLocalJWKSet, type JSONWebKeySet, jwtVerify } from 'jose';
import { describe, expect, it } from 'vitest';
import { EndpointKeys } from '#cloud/services/control/endpoint-keys.js';
import { endpointAuthSchema } from '#cloud/services/desired-services.js';

const secret = Buffer.alloc(32, 7);
const fraud = { id: 'one', auth: 'key' as const, keyVersions: { primary: 1, secondary: 1 } };

describe('keys of an endpoint', () => {
  it('are the same for the same secret, and other ones for every endpoint, slot and version', async () => {
    const keys = await EndpointKeys.of(secret);
    const again = await EndpointKeys.of(Buffer.from(secret));
    expect(again.key(fraud, 'primary')).toBe(keys.key(fraud, 'primary'));
    const others = [
      keys.key(fraud, 'primary'),
      keys.key(fraud, 'secondary'),
      keys.key({ ...fraud, id: 'two' }, 'primary'),
      keys.key({ ...fraud, keyVersions: { primary: 2, secondary: 1 } }, 'primary'),
      (await EndpointKeys.of(Buffer.alloc(32, 8))).key(fraud, 'primary'),
    ];
    expect(new Set(others).size).toBe(others.length);
    for (const key of others) expect(key).toMatch(/^fle_[A-Za-z0-9_-]{43}$/);
  });

  it('keep their form: a key that callers have goes on counting after an update of the control plane', async () => {
    const keys = await EndpointKeys.of(secret);
    // HKDF-SHA-256 of these inputs, by another program: Python's hmac, as RFC 5869 writes it.
    expect(keys.key(fraud, 'primary')).toBe('fle_tcuh0Exf2V0FL1lGF_SnV-s_GbMySWlvzIPuM-LzOzg');
  });

  it('are known to the service host by their SHA-256 alone', async () => {
    const keys = await EndpointKeys.of(secret);
    const auth = endpointAuthSchema.parse(keys.auth(fraud));
    const digests = (['primary', 'secondary'] as const).map((slot) =>
      createHash('sha256').update(keys.key(fraud, slot)).digest('hex'),
    );
    expect(auth).toEqual({ mode: 'key', keyDigests: digests });
  });
});

describe('a token', () => {
  it('is for one endpoint and a while, and checked by the key that the service host is given', async () => {
    const keys = await EndpointKeys.of(secret);
    const auth = endpointAuthSchema.parse(keys.auth({ ...fraud, auth: 'token' }));
    if (auth.mode !== 'token') throw new Error('the endpoint takes tokens');
    const jwks = createLocalJWKSet({ keys: auth.publicKeys } as JSONWebKeySet);
    const now = Date.now();
    const claims = { audience: 'one', subject: 'me', id: 'j', issuedAtMs: now, expiresAtMs: now + 60_000 };
    const token = await keys.token(claims);
    const { payload } = await jwtVerify(token, jwks, { audience: 'one', issuer: auth.issuer, algorithms: ['EdDSA'] });
    expect(payload).toMatchObject({ sub: 'me', jti: 'j', aud: 'one' });
    await expect(jwtVerify(token, jwks, { audience: 'two' })).rejects.toThrow('aud');
    const ended = await keys.token({ ...claims, issuedAtMs: now - 90_000, expiresAtMs: now - 60_000 });
    await expect(jwtVerify(ended, jwks, { audience: 'one' })).rejects.toThrow('exp');
  });
});
