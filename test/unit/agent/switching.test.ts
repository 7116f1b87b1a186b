import { describe, expect, it } from 'vitest';
import type { ExecutorPorts } from '#agent/actions/executors.js';
import { createSwitching } from '#agent/actions/switching.js';
import { KnownVersions } from '#agent/actions/versions.js';
import { nothingCommitted } from '#agent/store/committed-state.js';
import { DeviceState } from '#agent/reconcile/device-state.js';
import { nothingObserved } from '#agent/reconcile/observed.js';
import { systemClock } from '#shared/kernel/clock.js';
import { desiredOf, moduleNumber, versionKeyOf } from '#test/support/agent/reconcile-builders.js';

describe('a switch in the middle of which another document comes', () => {
  it('is told as it was done, though nothing desires that version any more', async () => {
    const state = new DeviceState(nothingObserved, systemClock, Math.random);
    const accept = (generation: number, number: number): void =>
      state.accept(desiredOf(generation, { digits: moduleNumber(number) }), {});
    const set = { digits: versionKeyOf(moduleNumber(1)) };
    accept(1, 1);
    state.take({ kind: 'candidateStarting', set });
    state.take({ kind: 'candidateLoaded' });
    const serving = {
      scriptsOf: () => [],
      switchOver: async () => {
        accept(2, 2);
        return true;
      },
    };
    const versions = new KnownVersions(
      () => state.desired,
      () => nothingCommitted,
    );
    const ports = { state, versions, serving, raise: () => undefined } as unknown as ExecutorPorts;
    await createSwitching(ports, { next: () => undefined }).switchSet({ set, watched: [] });
    expect(state.observed.serving.set).toEqual(set);
    expect(versions.servedNow).toEqual({ digits: moduleNumber(1) });
  });
});
