/** A certificate in files, as an operator has it, and its renewal. */
import { X509Certificate } from 'node:crypto';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { writeFileAtomic } from '#shared/platform/atomic-file.js';
import { type TestCertificate, testCertificate } from '../test-certificates.js';

export class RenewedCertificate {
  private current = '';

  private constructor(
    private readonly folder: string,
    private readonly issuer: TestCertificate,
  ) {}

  static async in(folder: string): Promise<RenewedCertificate> {
    const issuer = await testCertificate({ commonName: 'authority', authority: true });
    const certificate = new RenewedCertificate(folder, issuer);
    await certificate.renew();
    return certificate;
  }

  /** Whom clients believe, PEM. */
  get authority(): string {
    return this.issuer.certificate;
  }

  /** Of a control plane. */
  get settings(): Record<string, string> {
    return {
      FLOTILLA_SERVICES_TLS: 'files',
      FLOTILLA_SERVICES_TLS_CERT_FILE: join(this.folder, 'front.crt'),
      FLOTILLA_SERVICES_TLS_KEY_FILE: join(this.folder, 'front.key'),
    };
  }

  /** Another certificate with another key. */
  async renew(): Promise<{ readonly cert: string; readonly key: string }> {
    const { issuer } = this;
    const { certificate, privateKey } = await testCertificate({
      ...{ commonName: 'front', names: ['localhost'], usage: 'server' },
      issuer,
    });
    await writeFileAtomic(join(this.folder, 'front.key'), privateKey, { mode: 0o600 });
    await writeFileAtomic(join(this.folder, 'front.crt'), certificate);
    this.current = new X509Certificate(certificate).fingerprint256;
    return { cert: certificate, key: privateKey };
  }

  /** Whether the newest is what a new connection is shown. */
  isShown(port: number): Promise<boolean> {
    return new Promise((resolve, reject) => {
      const options = { host: '127.0.0.1', port, ca: this.authority, servername: 'localhost' };
      const socket = connect(options, () => {
        resolve(socket.getPeerCertificate().fingerprint256 === this.current);
        socket.destroy();
      });
      socket.once('error', reject);
    });
  }
}
