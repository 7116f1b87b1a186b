/** Who a client is by the certificate that its TLS session verified. */
import type { TLSSocket } from 'node:tls';

export interface ClientCertificate {
  /** `workspace/device`, or one of the names in broker-access.ts. */
  readonly name: string;
  /** SHA-256 of the DER, hex. */
  readonly fingerprint: string;
}

/** Undefined without a certificate, with one that was not verified, or with one that names nobody, or several. */
export function clientCertificateOf(socket: TLSSocket): ClientCertificate | undefined {
  if (!socket.authorized) return undefined;
  const { subject, fingerprint256 } = socket.getPeerCertificate() as Partial<
    ReturnType<TLSSocket['getPeerCertificate']>
  >;
  // Two common names come as an array, whatever the type says.
  const name: unknown = subject?.CN;
  if (typeof name !== 'string' || fingerprint256 === undefined) return undefined;
  return { name, fingerprint: fingerprint256.replaceAll(':', '').toLowerCase() };
}
