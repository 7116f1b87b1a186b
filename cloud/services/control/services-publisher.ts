/**
 * Hands the document to the service host, and again until it has it. What is to be handed over stands in the database,
 * so that nothing is forgotten when either is killed; the same document given twice does no harm. Without endpoints no
 * service host is started; one that runs is told all the same that there are none.
 */
import { backoffMs } from '#shared/kernel/backoff.js';
import type { Clock } from '#shared/kernel/clock.js';
import { AppError, messageOf } from '#shared/kernel/errors.js';
import type { Random } from '#shared/kernel/ids.js';
import type { Family } from '#shared/platform/exposition.js';
import type { Logger } from '#shared/platform/logger.js';
import { SingleFlight } from '#shared/platform/single-flight.js';
import type { DesiredServices } from '../desired-services.js';
import type { ServiceHostPort } from '../services-status.js';
import type { CollectedSource } from './collected-pull.js';
import type { TelemetryTeller } from '../services-telemetry.js';
import type { ServicesDocument } from './services-document.js';
import type { HandedTrust, TrustHandover, TrustVersions } from './trust-handover.js';

/** A service host, with what is told to none but it. */
export interface ServiceHost extends ServiceHostPort, CollectedSource, TelemetryTeller {
  /** For Prometheus. */
  families(): Promise<readonly Family[]>;
  about(): Promise<{ readonly generation: number; readonly trust: TrustVersions }>;
  /** Whose images may run. @returns why some of it does not count there */
  trust(handed: HandedTrust): Promise<readonly string[]>;
}

/** The way to the service host of this control plane. */
export interface ServiceHostDoor {
  /** The one that runs, or one that is started now. @throws AppError `service.unavailable` */
  ensure(): Promise<ServiceHost>;
  /** The one that runs, if one does. */
  running(): Promise<ServiceHost | undefined>;
  /** None is needed any more; one that runs has begun to end when this resolves. */
  end(): Promise<void>;
}

export interface ServicesPublisherOptions {
  readonly document: ServicesDocument;
  readonly trust: TrustHandover;
  readonly door: ServiceHostDoor;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly random: Random;
}

/** Each attempt may start a process. */
const retryPolicy = { baseMs: 1_000, maxMs: 60_000 };

export class ServicesPublisher {
  private readonly flight: SingleFlight;
  private readonly stopped = new AbortController();
  private retry: Promise<void> | undefined;
  private failures = 0;
  private refused = '';

  constructor(private readonly options: ServicesPublisherOptions) {
    this.flight = new SingleFlight(
      () => this.publish(),
      (error) => {
        this.failures += 1;
        // Once, until it works again.
        if (this.failures === 1) {
          options.logger.warn({ reason: messageOf(error) }, 'the service host has not the newest document');
        }
        if (!(error instanceof AppError)) options.logger.error({ err: error }, 'handing over the document failed');
        this.wakeLater();
      },
    );
  }

  /** Called after every commit, and at the start. */
  wake(): void {
    this.flight.wake();
  }

  /** Called now and then: a service host may have ended, or publishers signed something. */
  look(): void {
    if (this.retry === undefined) this.flight.wake();
  }

  async idle(): Promise<void> {
    await this.flight.idle();
  }

  async stop(): Promise<void> {
    this.stopped.abort();
    await this.flight.stop();
    await this.retry;
  }

  private async publish(): Promise<void> {
    const { document, trust, door, logger } = this.options;
    const wanted = await document.current();
    if (wanted === undefined) return;
    const host = wanted.endpoints.length > 0 ? await door.ensure() : await door.running();
    if (host === undefined) return;
    const { generation, trust: known } = await host.about();
    if (generation > wanted.generation) {
      logger.warn(
        { served: generation, stored: wanted.generation },
        'the service host has a newer document than the database, as after a restored backup: what is here counts',
      );
      await document.riseAbove(generation);
      this.flight.wake();
      return;
    }
    // Before the document: what it names is judged by it.
    const news = await trust.after(known, workspacesOf(wanted));
    const refused = news.workspaces.length === 0 ? [] : await host.trust(news);
    if (refused.length > 0 && refused.join() !== this.refused) {
      logger.warn({ refused }, 'the service host does not go by some of what publishers signed');
    }
    this.refused = refused.join();
    if (generation < wanted.generation) await host.apply(wanted);
    if (wanted.endpoints.length === 0) {
      logger.info('the service host ends: there are no endpoints any more');
      await door.end();
    }
    this.failures = 0;
  }

  private wakeLater(): void {
    const { clock, random } = this.options;
    const wait = backoffMs(this.failures, retryPolicy, random());
    this.retry ??= clock.sleep(wait, this.stopped.signal).then(() => {
      this.retry = undefined;
      this.flight.wake();
    });
  }
}

function workspacesOf({ endpoints }: DesiredServices): string[] {
  return [...new Set(endpoints.map(({ workspace }) => workspace))].sort();
}
