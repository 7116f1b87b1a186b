/** Documents whose modules have variants, followed by what is known to run here. */
import type { Desired } from '#shared/protocol/desired.js';
import type { Background } from '#agent/actions/background.js';
import type { DeviceMemory } from '#agent/device-memory.js';
import type { KnownAccelerators } from '#agent/providers/known-accelerators.js';
import { chooseVariants, hasVariants } from '#agent/reconcile/choose-variant.js';
import type { DeviceState } from '#agent/reconcile/device-state.js';

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

export interface KeptPorts extends VariantFollower, Pick<DeviceMemory, 'holds' | 'rejections' | 'probations'> {
  readonly state: DeviceState;
  readonly background: Background;
  readonly onHeldUp: (error: unknown) => void;
}

/** What was accepted before this start is followed again, unless something newer came first. */
export async function followKept(kept: Desired | undefined, ports: KeptPorts): Promise<void> {
  if (kept === undefined) return;
  const { state, holds, rejections, probations, choose } = ports;
  const cutShort = probations.refusedIn(kept.generation);
  if (cutShort.length > 0) await rejections.record(kept.generation, cutShort).catch(ports.onHeldUp);
  ports.whenKnown(kept, ports.background, () => {
    if (state.desired === undefined) state.accept(holds.follow(choose(kept)), rejections.of(kept.generation));
  });
}
