/** When a start has come so far that what is on this disk answers. */
import type { DeviceState } from '#agent/reconcile/device-state.js';
import type { Fact } from '#agent/reconcile/fact.js';

/** A host that loads large models may take longer: the network waits no longer than this for it. */
export const firstServingMs = 3_000;

const ends: readonly Fact['kind'][] = ['servingStarted', 'servingLost', 'hostExited', 'gaveUp'];

/** Resolves once what was committed answers, or has failed to for the first time; at once where nothing was. */
export function firstServing(state: DeviceState): Promise<void> {
  if (Object.keys(state.observed.serving.set).length === 0) return Promise.resolve();
  return new Promise((resolve) => {
    state.onChange(({ kind }) => {
      if (ends.includes(kind)) resolve();
    });
  });
}
