/** The device's own keys: made here, kept here. What leaves is what proves that they are held. */
import { createPrivateKey, createPublicKey, generateKeyPairSync, webcrypto } from 'node:crypto';

export interface DeviceKeys {
  /** P-256, PKCS #8 PEM: signs for the device. */
  readonly privateKey: string;
  /** X25519, PKCS #8 PEM: opens what is sealed to the device. */
  readonly sealingKey: string;
}

export function makeDeviceKeys(): DeviceKeys {
  return {
    privateKey: pemOf(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey),
    sealingKey: pemOf(generateKeyPairSync('x25519').privateKey),
  };
}

/** PKCS #10, PEM. X.509 is loaded when it is asked for: a device needs it a few times a year. */
export async function signingRequestFor(privateKey: string, commonName: string): Promise<string> {
  await import('reflect-metadata');
  // By its default: in the bundle, whose parts are loaded when asked for, a package in CommonJS has no other name.
  const { default: x509 } = await import('@peculiar/x509');
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
  const key = createPrivateKey(privateKey);
  const secret = key.export({ format: 'der', type: 'pkcs8' });
  const open = createPublicKey(key).export({ format: 'der', type: 'spki' });
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    name: [{ CN: [commonName] }],
    keys: {
      privateKey: await webcrypto.subtle.importKey('pkcs8', Uint8Array.from(secret), algorithm, false, ['sign']),
      publicKey: await webcrypto.subtle.importKey('spki', Uint8Array.from(open), algorithm, true, ['verify']),
    },
    signingAlgorithm: algorithm,
  });
  return `${request.toString('pem')}\n`;
}

/** Raw 32 bytes, base64url. */
export function sealingPublicKey(sealingKey: string): string {
  const { x } = createPublicKey(createPrivateKey(sealingKey)).export({ format: 'jwk' });
  if (x === undefined) throw new Error('an X25519 key without its public part');
  return x;
}

function pemOf(key: ReturnType<typeof createPrivateKey>): string {
  return key.export({ format: 'pem', type: 'pkcs8' }).toString();
}
