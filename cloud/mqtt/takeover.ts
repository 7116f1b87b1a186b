/**
 * Ends a device's session at an external broker by what MQTT gives every broker: a second connection with
 * the same client id ends the first. It is made with a certificate of the device's name that lives for
 * minutes and whose key is made and forgotten here; it subscribes to nothing and sends nothing.
 */
import { generateKeyPair } from 'node:crypto';
import { promisify } from 'node:util';
import { connectAsync } from 'mqtt';
import { clientIdOf, type DeviceAddress } from '#shared/protocol/topics.js';
import type { KeyedCertificate } from '#cloud/trust/certificates.js';

export interface TakeoverOptions {
  /** mqtts://host:port */
  readonly url: string;
  readonly authorities: () => readonly string[];
  readonly serverName: string;
  /** @param publicKey SubjectPublicKeyInfo, DER. @returns PEM */
  readonly certify: (address: DeviceAddress, publicKey: Uint8Array) => Promise<string>;
}

const timeoutMs = 5_000;

export async function takeOverSession(options: TakeoverOptions, address: DeviceAddress): Promise<void> {
  const { certificate, privateKey } = await passingCertificate(options, address);
  const client = await connectAsync(options.url, {
    clientId: clientIdOf(address),
    clean: true,
    protocolVersion: 4,
    ca: [...options.authorities()],
    cert: certificate,
    key: privateKey,
    servername: options.serverName,
    rejectUnauthorized: true,
    reconnectPeriod: 0,
    connectTimeout: timeoutMs,
  });
  await client.endAsync();
}

async function passingCertificate(options: TakeoverOptions, address: DeviceAddress): Promise<KeyedCertificate> {
  const keys = await promisify(generateKeyPair)('ec', { namedCurve: 'P-256' });
  const publicKey = keys.publicKey.export({ type: 'spki', format: 'der' });
  return {
    certificate: await options.certify(address, publicKey),
    privateKey: keys.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  };
}
