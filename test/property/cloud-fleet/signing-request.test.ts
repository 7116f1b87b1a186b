/** PKCS #10 comes from whoever knows the gateway's address: whatever the bytes are, it is a refusal or a request. */
import { createPublicKey, generateKeyPairSync, webcrypto } from 'node:crypto';
import fc from 'fast-check';
import 'reflect-metadata';
import * as x509 from '@peculiar/x509';
import { beforeAll, describe, expect, it } from 'vitest';
import { makeDeviceKeys, signingRequestFor } from '#agent/identity/device-keys.js';
import { readSigningRequest } from '#cloud/trust/signing-request.js';
import { AppError } from '#shared/kernel/errors.js';

const pemOf = (der: Uint8Array): string =>
  `-----BEGIN CERTIFICATE REQUEST-----\n${Buffer.from(der).toString('base64')}\n-----END CERTIFICATE REQUEST-----\n`;

const outcome = async (pem: string): Promise<'read' | 'refused'> => {
  try {
    await readSigningRequest(pem);
    return 'read';
  } catch (error) {
    expect(error).toBeInstanceOf(AppError);
    expect((error as AppError).code).toBe('enrolment.csr-invalid');
    return 'refused';
  }
};

describe('a certificate signing request', () => {
  let good: Buffer;
  let privateKey: string;
  beforeAll(async () => {
    ({ privateKey } = makeDeviceKeys());
    const [der] = x509.PemConverter.decode(await signingRequestFor(privateKey, 'lab/cam-1'));
    good = Buffer.from(der ?? new ArrayBuffer(0));
  });

  it('gives its name and its key', async () => {
    const request = await readSigningRequest(pemOf(good));
    expect(request.commonName).toBe('lab/cam-1');
    expect(request.publicKey).toEqual(createPublicKey(privateKey).export({ format: 'der', type: 'spki' }));
  });

  it('with any byte changed is refused, or says the same: its signature covers name and key', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: good.length - 1 }), fc.integer({ min: 1, max: 255 }), async (at, flip) => {
        const changed = Buffer.from(good);
        changed[at] = (changed[at] ?? 0) ^ flip;
        if ((await outcome(pemOf(changed))) === 'read') {
          expect((await readSigningRequest(pemOf(changed))).commonName).toBe('lab/cam-1');
        }
      }),
      { numRuns: 150 },
    );
  });

  it('that is any bytes, or any text, is refused and never throws anything else', async () => {
    const der = fc.oneof(
      fc.uint8Array({ maxLength: 600 }),
      // Deep nesting: each 0x30 0x80 opens a sequence without an end.
      fc
        .nat({ max: 1500 })
        .map((depth) => Uint8Array.from({ length: 2 * depth }, (_, i) => (i % 2 === 0 ? 0x30 : 0x80))),
      fc.tuple(fc.nat({ max: 200 }), fc.uint8Array({ maxLength: 40 })).map(([at, piece]) => {
        const changed = Buffer.from(good);
        changed.set(piece.subarray(0, Math.max(0, changed.length - at)), Math.min(at, changed.length));
        return changed;
      }),
    );
    const text = fc.oneof(
      der.map(pemOf),
      fc.string({ unit: 'binary' }),
      fc
        .string({ unit: 'binary' })
        .map((body) => `-----BEGIN CERTIFICATE REQUEST-----\n${body}\n-----END CERTIFICATE REQUEST-----`),
    );
    await fc.assert(
      fc.asyncProperty(text, async (pem) => void (await outcome(pem))),
      { numRuns: 200 },
    );
  });

  it.each([
    ['P-384', { name: 'ECDSA', namedCurve: 'P-384', hash: 'SHA-384' }],
    ['Ed25519', { name: 'Ed25519' }],
  ])('for a key on %s is refused', async (_what, algorithm) => {
    const keys = (await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])) as webcrypto.CryptoKeyPair;
    const request = await x509.Pkcs10CertificateRequestGenerator.create({
      name: 'CN=lab/cam-1',
      keys,
      signingAlgorithm: algorithm,
    });
    await expect(readSigningRequest(request.toString('pem'))).rejects.toMatchObject({ code: 'enrolment.csr-invalid' });
  });

  it.each(['CN=lab/cam-1, O=Plant', 'CN=lab/cam-1, CN=lab/cam-2', 'O=lab/cam-1', ''])(
    'of the subject "%s" is refused',
    async (name) => {
      const { privateKey: secret, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      const p256 = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
      const request = await x509.Pkcs10CertificateRequestGenerator.create({
        name,
        keys: {
          privateKey: await webcrypto.subtle.importKey(
            'pkcs8',
            Uint8Array.from(secret.export({ format: 'der', type: 'pkcs8' })),
            p256,
            false,
            ['sign'],
          ),
          publicKey: await webcrypto.subtle.importKey(
            'spki',
            Uint8Array.from(publicKey.export({ format: 'der', type: 'spki' })),
            p256,
            true,
            ['verify'],
          ),
        },
        signingAlgorithm: p256,
      });
      await expect(readSigningRequest(request.toString('pem'))).rejects.toMatchObject({
        code: 'enrolment.csr-invalid',
      });
    },
  );
});
