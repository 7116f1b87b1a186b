/** Everything anew between a device and its control plane: its documents asked for, itself reported whole. */
import type { Channel } from '#shared/protocol/topics.js';
import type { Reporter } from '#agent/link/reporter.js';
import type { DeviceState } from '#agent/reconcile/device-state.js';
import type { TrustFollower } from '#agent/trust/trust-follower.js';

export interface RefreshParts {
  readonly reporter: Pick<Reporter, 'wholeAsked'>;
  readonly trusting: Pick<TrustFollower, 'ask'>;
  readonly state: Pick<DeviceState, 'desired'>;
  readonly publish: (channel: Channel, message: unknown) => Promise<boolean>;
  readonly isConnected: () => boolean;
}

/** @returns what does it, and answers with the generation that the device has */
export function createRefresh({ reporter, trusting, state, publish, isConnected }: RefreshParts) {
  return async (): Promise<number> => {
    reporter.wholeAsked();
    if (isConnected()) {
      trusting.ask();
      await publish('desiredGet', { schema: 1 });
    }
    return state.desired?.generation ?? 0;
  };
}
