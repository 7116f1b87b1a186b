/** Desired documents of one device, wired: what is accepted is kept, obeyed and told; what is refused is told. */
import type { Clock } from '#shared/kernel/clock.js';
import type { Logger } from '#shared/platform/logger.js';
import type { Desired } from '#shared/protocol/desired.js';
import type { DeviceEvent } from '#shared/protocol/stream.js';
import type { DeviceMemory } from '#agent/device-memory.js';
import type { KeptTrust } from '#agent/identity/device-trust.js';
import type { Identity } from '#agent/identity/identity.js';
import { DesiredInbox } from '#agent/link/desired-inbox.js';
import type { Reporter } from '#agent/link/reporter.js';
import type { DeviceViews } from '#agent/local/device-views.js';
import type { DeviceState } from '#agent/reconcile/device-state.js';
import type { TrustFollower } from '#agent/trust/trust-follower.js';

export interface InboxParts extends Pick<DeviceMemory, 'keptDesired' | 'time' | 'holds'> {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly identity: Identity;
  readonly trust: KeptTrust;
  readonly state: DeviceState;
  readonly views: DeviceViews;
  readonly trusting: TrustFollower;
  readonly reporter: Reporter;
  /** The document with one image for each module that has variants. */
  readonly choose: (desired: Desired) => Desired;
  readonly raise: (event: Omit<DeviceEvent, 'at'>) => void;
}

/**
 * @param kept what was accepted before this start
 * @param above no older generation is accepted
 */
export function createDeviceInbox(parts: InboxParts, kept: Desired | undefined, above: number): DesiredInbox {
  const { clock, logger, identity, trust, keptDesired, time, state, holds, views, trusting, reporter, raise, choose } =
    parts;
  return new DesiredInbox(
    {
      clock,
      address: identity,
      directors: () => trust.current().directors,
      onUnknownDirector: () => trusting.refresh(),
      persist: async (envelope, desired) => {
        await keptDesired.write(envelope);
        time.verified(Date.parse(desired.issuedAt));
      },
      onAccepted: (desired, renewed) => {
        if (renewed) state.renew(holds.follow(choose(desired)));
        else state.accept(holds.follow(choose(desired)), {});
        views.accepted();
        trusting.look();
        logger.info({ generation: desired.generation, renewed }, 'desired document accepted');
        reporter.wake();
      },
      onRefused: (refusal) => {
        const { problem } = refusal;
        logger.warn({ refusal }, 'desired document refused');
        if (views.refused(refusal)) {
          raise({ level: 'warn', type: 'desired.refused', message: problem.message, details: { code: problem.code } });
        }
        reporter.wake();
      },
    },
    kept,
    above,
  );
}
