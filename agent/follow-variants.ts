/** Documents whose modules have variants, followed by what is known to run here. */
import type { Desired } from '#shared/protocol/desired.js';
import type { Background } from '#agent/actions/background.js';
import type { KnownAccelerators } from '#agent/providers/known-accelerators.js';
import { chooseVariants, hasVariants } from '#agent/reconcile/choose-variant.js';

export interface VariantFollower {
  readonly choose: (desired: Desired) => Desired;
  /** At once where there is nothing to choose, else when the trial is over; what is committed answers meanwhile. */
  readonly whenKnown: (desired: Desired, background: Background, follow: () => void) => void;
}

export function followVariants(accelerators: KnownAccelerators): VariantFollower {
  return {
    choose: (desired) => chooseVariants(desired, accelerators.current),
    whenKnown: (desired, background, follow) => {
      if (hasVariants(desired)) background.run(() => accelerators.ready().then(follow));
      else follow();
    },
  };
}
