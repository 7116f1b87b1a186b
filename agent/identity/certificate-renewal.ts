/**
 * Renews the device's certificate at the gateway, with a new key, by showing the one it has. The connection that stands
 * goes on; the next one is made with the new certificate. An answer that gets lost costs nothing: the old certificate
 * is accepted until the new one has been used.
 */
import { X509Certificate } from 'node:crypto';
import type { Clock } from '#shared/kernel/clock.js';
import { AppError, toProblem } from '#shared/kernel/errors.js';
import type { Logger } from '#shared/platform/logger.js';
import { controlPlaneServerName, renewalResponseSchema } from '#shared/protocol/enrolment.js';
import { clientIdOf } from '#shared/protocol/topics.js';
import type { ProxySettings } from '#agent/link/proxy-choice.js';
import { makeDeviceKeys, signingRequestFor } from './device-keys.js';
import type { TrustSource } from './device-trust.js';
import { gatewayAt, postToGateway } from './gateway-request.js';
import type { KeptIdentity } from './identity.js';
import { checkOwnCertificate, isOutdated } from './own-certificate.js';
import { isRenewalDue } from './renewal-plan.js';

export interface RenewalPorts {
  readonly identity: KeptIdentity;
  readonly trust: TrustSource;
  readonly proxy: ProxySettings;
  readonly clock: Clock;
  /** Drawn once. */
  readonly jitter: number;
  /** How often it is looked, milliseconds. */
  readonly everyMs: number;
  readonly logger: Logger;
  readonly trustedNow: () => number;
  readonly connected: () => boolean;
}

export class CertificateRenewal {
  private readonly stopping = new AbortController();
  private loop: Promise<void> | undefined;
  private lastTry: { readonly at: number; readonly outcome: 'renewed' | 'failed' } | undefined;
  private connectedAt: number;

  constructor(private readonly ports: RenewalPorts) {
    this.connectedAt = ports.clock.monotonic();
  }

  start(): void {
    this.loop ??= this.run();
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    await this.loop;
  }

  /** One look at whether it is time. @returns whether the certificate was renewed */
  async look(): Promise<boolean> {
    const { clock, jitter, identity, trust, logger, trustedNow, connected } = this.ports;
    const monotonic = clock.monotonic();
    if (connected()) this.connectedAt = monotonic;
    const present = identity.current();
    const { validFrom, validTo } = new X509Certificate(present.certificate);
    const { authorities } = trust.current();
    const due = isRenewalDue({
      notBefore: Date.parse(validFrom),
      notAfter: Date.parse(validTo),
      jitter,
      outdated:
        connected() && isOutdated(present.certificate, { ...present, commonName: clientIdOf(present), authorities }),
      now: Math.max(trustedNow(), clock.now()),
      disconnectedMs: monotonic - this.connectedAt,
      sinceTryMs: this.lastTry && monotonic - this.lastTry.at,
      lastTry: this.lastTry?.outcome,
    });
    if (!due) return false;
    try {
      await this.renew();
      this.lastTry = { at: monotonic, outcome: 'renewed' };
      return true;
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      this.lastTry = { at: monotonic, outcome: 'failed' };
      logger.warn({ problem: toProblem(error) }, 'the certificate was not renewed; it is tried again');
      return false;
    }
  }

  private async run(): Promise<void> {
    const { clock, logger, jitter, everyMs } = this.ports;
    const { signal } = this.stopping;
    // A fleet that was told of another authority at once does not renew at once.
    await clock.sleep(jitter * everyMs, signal);
    while (!signal.aborted) {
      await this.look().catch((error: unknown) => logger.error({ err: error }, 'unexpected failure'));
      await clock.sleep(everyMs, signal);
    }
  }

  private async renew(): Promise<void> {
    const { identity, trust, proxy, trustedNow, logger } = this.ports;
    const present = identity.current();
    const { authorities } = trust.current();
    const { privateKey } = makeDeviceKeys();
    const commonName = clientIdOf(present);
    const answer = await postToGateway(
      {
        ...gatewayAt(new URL(present.gateway), proxy),
        expected: { authorities, name: controlPlaneServerName, trustedNow: trustedNow() },
        client: present,
      },
      '/v1/renew',
      { csr: await signingRequestFor(privateKey, commonName) },
      renewalResponseSchema,
    );
    const checked = checkOwnCertificate(answer.certificate, { commonName, privateKey, authorities });
    if (!checked.ok) {
      throw new AppError('certificate.invalid', `the renewed certificate is refused: ${checked.error}`);
    }
    await identity.replace({ ...present, certificate: answer.certificate, privateKey, broker: answer.broker });
    logger.info(
      { serial: checked.value.serialNumber.toLowerCase(), ends: checked.value.validTo },
      'certificate renewed',
    );
  }
}
