/** The device's trust and what follows from a change of it: events, reports, documents asked for anew. */
import type { Clock } from '#shared/kernel/clock.js';
import type { Logger } from '#shared/platform/logger.js';
import type { Desired, DesiredModule } from '#shared/protocol/desired.js';
import type { DeviceEvent } from '#shared/protocol/stream.js';
import type { Channel } from '#shared/protocol/topics.js';
import type { KeptTrust } from '#agent/identity/device-trust.js';
import type { BlockClient } from '#agent/link/block-client.js';
import type { TrustReport } from '#agent/reconcile/report-state.js';
import type { BlobCache } from '#agent/store/blob-cache.js';
import { TrustKeeper } from '#agent/trust/trust-keeper.js';
import { signatureOf, stillAnswers, UnsignedModules } from '#agent/trust/unsigned-modules.js';

export interface FollowerPorts {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly workspace: string;
  readonly trust: KeptTrust;
  readonly publish: (channel: Channel, message: unknown) => Promise<boolean>;
  readonly raise: (event: Omit<DeviceEvent, 'at'>) => void;
  readonly served: () => Readonly<Record<string, DesiredModule>>;
  readonly desired: () => Desired | undefined;
  readonly blobs: BlobCache;
  /** While connected. */
  readonly blocks: () => BlockClient | undefined;
  /** The report says something else now. */
  readonly onChanged: () => void;
  readonly onError: (error: unknown) => void;
  readonly signal: AbortSignal;
}

export class TrustFollower {
  private readonly keeper: TrustKeeper;
  private readonly unsigned: UnsignedModules;

  constructor(private readonly ports: FollowerPorts) {
    const { clock, workspace, trust, publish, served, desired, blobs, onError, signal } = ports;
    this.keeper = new TrustKeeper({
      clock,
      workspace,
      store: trust,
      ask: (request) => void publish('trustGet', request),
      onAccepted: ({ version }) => this.accepted(version),
      signal,
      onRefused: (problem) => {
        ports.logger.warn({ problem }, 'trust document refused');
        ports.raise({
          level: 'warn',
          type: 'trust.refused',
          message: problem.message,
          details: { code: problem.code },
        });
        ports.onChanged();
      },
    });
    this.unsigned = new UnsignedModules({
      served,
      desired,
      publishers: () => trust.current().publishers,
      envelope: (image) => signatureOf(image, blobs, ports.blocks(), signal),
      onNews: (news) => {
        for (const module of news) ports.raise(stillAnswers(module));
        ports.onChanged();
      },
      onError,
    });
  }

  report(): TrustReport {
    const { version } = this.ports.trust.current();
    return { version, unsigned: this.unsigned.current, problem: this.keeper.problem };
  }

  /** Asks for what is newer, and looks whether what answers is signed by who counts. */
  ask(): void {
    this.keeper.ask();
    this.look();
  }

  /** What answers, or what is desired, has changed. */
  look(): void {
    void this.unsigned.look();
  }

  /** Ends when what the control plane knows is known here, or it did not answer. */
  async refresh(): Promise<void> {
    await this.keeper.refresh();
  }

  async receive(payload: Uint8Array): Promise<void> {
    try {
      await this.keeper.receive(payload);
    } catch (error) {
      // The disk did not take it: what was in force stays so, and it is asked for again within the hour.
      this.ports.onError(error);
    }
  }

  private accepted(version: number): void {
    const { logger, raise, publish, onChanged } = this.ports;
    logger.info({ version }, 'trust document accepted');
    raise({ level: 'info', type: 'trust.accepted', message: `version ${String(version)} says who counts here` });
    onChanged();
    this.look();
    // What a director signed whom we did not know may have been refused.
    void publish('desiredGet', { schema: 1 });
  }
}
