/**
 * The certificates of the API's listener, replaced while it runs. Whoever asks for the control plane by the name that
 * devices pin gets the generated one, whatever else is served; certificates of devices are asked for and not required.
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { Server, ServerOptions } from 'node:https';
import { createSecureContext, type SecureContext } from 'node:tls';
import { AppError, messageOf } from '#shared/kernel/errors.js';
import type { Logger } from '#shared/platform/logger.js';
import { controlPlaneServerName } from '#shared/protocol/enrolment.js';

/** A certificate chain and its private key, PEM. */
export interface ServerCertificate {
  readonly certificate: string;
  readonly privateKey: string;
}

export interface CertificateSource {
  /** Of the installation's authority; asked at each refresh. */
  readonly generated: () => ServerCertificate;
  /** PEM of the authorities that sign certificates of devices. */
  readonly authorities: () => readonly string[];
  /** What is served under every other name, instead of the generated one. */
  readonly files?: { readonly certificate: string; readonly privateKey: string };
}

interface Loaded {
  readonly served: SecureContext;
  readonly generated: SecureContext;
  readonly options: { readonly cert: string; readonly key: string; readonly ca: string[] };
  readonly digest: string;
}

export class ApiCertificates {
  private server: Server | undefined;

  private constructor(
    private readonly source: CertificateSource,
    private readonly logger: Logger,
    private loaded: Loaded,
  ) {}

  /** @throws AppError `config.invalid` naming the file and what is wrong with it */
  static async open(source: CertificateSource, logger: Logger): Promise<ApiCertificates> {
    return new ApiCertificates(source, logger, await load(source));
  }

  /** For `https.createServer`; then {@link attach} the server. */
  get options(): ServerOptions {
    return {
      ...this.loaded.options,
      minVersion: 'TLSv1.2',
      requestCert: true,
      // Devices show one, people do not: each route judges.
      rejectUnauthorized: false,
      handshakeTimeout: 10_000,
      SNICallback: (name, done) => {
        done(null, name === controlPlaneServerName ? this.loaded.generated : this.loaded.served);
      },
    };
  }

  attach(server: Server): void {
    this.server = server;
  }

  /** Takes up what changed. What cannot be used leaves the certificates of before in place. @returns whether it did */
  async refresh(): Promise<boolean> {
    try {
      const loaded = await load(this.source);
      if (loaded.digest === this.loaded.digest) return false;
      this.loaded = loaded;
      this.server?.setSecureContext(loaded.options);
      this.logger.info('the certificate of the API was replaced');
      return true;
    } catch (error) {
      // A certificate and a key that are being replaced fit only when both are there.
      this.logger.warn({ err: error }, 'the new certificate of the API cannot be used; the one of before stays');
      return false;
    }
  }
}

async function load({ generated, authorities, files }: CertificateSource): Promise<Loaded> {
  const own = generated();
  const ca = [...authorities()];
  const given = files && {
    certificate: await read(files.certificate, 'http.tlsCertFile'),
    privateKey: await read(files.privateKey, 'http.tlsKeyFile'),
  };
  const { certificate: cert, privateKey: key } = given ?? own;
  try {
    return {
      served: createSecureContext({ cert, key, ca }),
      generated: createSecureContext({ cert: own.certificate, key: own.privateKey, ca }),
      options: { cert, key, ca },
      digest: createHash('sha256')
        .update([cert, key, own.certificate, ...ca].join('\0'))
        .digest('hex'),
    };
  } catch (error) {
    const what = files ? `${files.certificate} and ${files.privateKey}` : 'the generated certificate';
    throw new AppError('config.invalid', `${what} cannot be used for TLS: ${messageOf(error)}`, { cause: error });
  }
}

async function read(path: string, setting: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw new AppError('config.invalid', `cannot read ${setting}: ${messageOf(error)}`, { cause: error });
  }
}
