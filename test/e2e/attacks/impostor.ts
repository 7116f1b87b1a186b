/** A server at somebody's address that has the right name in a certificate of the wrong authority. */
import type { AddressInfo, Socket } from 'node:net';
import { createServer, type Server } from 'node:tls';
import { controlPlaneServerName } from '#shared/protocol/enrolment.js';
import { testAuthority, testCertificate } from '../../support/test-certificates.js';

export class Impostor {
  /** Connections that were made, and have ended. */
  visits = 0;
  /** All that was said in the TLS sessions on them. */
  heard = '';

  private constructor(private readonly server: Server) {
    server.on('connection', (socket: Socket) => {
      socket.on('close', () => {
        this.visits += 1;
      });
    });
    server.on('secureConnection', (socket) => {
      socket.on('data', (bytes: Buffer) => {
        this.heard += bytes.toString('latin1');
        socket.destroy();
      });
      socket.on('error', () => undefined);
    });
  }

  /** @param port 0 picks a free one */
  static async open(port: number): Promise<Impostor> {
    const issuer = await testAuthority('Flotilla control plane authority');
    const names = [controlPlaneServerName, 'localhost'];
    const leaf = await testCertificate({ commonName: controlPlaneServerName, issuer, names, usage: 'server' });
    const server = createServer({
      cert: `${leaf.certificate}${issuer.certificate}`,
      key: leaf.privateKey,
      requestCert: true,
      rejectUnauthorized: false,
    });
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    return new Impostor(server);
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      this.server.close(() => resolve());
    });
  }
}
