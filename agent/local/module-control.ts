/** What a person, or a program of the device's user, may say about a module over the agent's socket. */
import type { Clock } from '#shared/kernel/clock.js';
import { AppError } from '#shared/kernel/errors.js';
import type { Desired, DesiredModule } from '#shared/protocol/desired.js';
import type { DeviceEvent } from '#shared/protocol/stream.js';
import type { DeviceState } from '#agent/reconcile/device-state.js';
import { entry, versionKeyOf } from '#agent/reconcile/observed.js';
import type { CommittedState } from '#agent/store/committed-state.js';
import type { LocalHolds } from '#agent/store/local-holds.js';

export interface ModuleControlPorts {
  readonly clock: Clock;
  readonly state: DeviceState;
  readonly committed: CommittedState;
  readonly holds: LocalHolds;
  readonly follow: (desired: Desired) => void;
  readonly raise: (event: Omit<DeviceEvent, 'at'>) => void;
}

export interface ModuleControl {
  /** Back to the version before, which is kept on this disk, until the next generation. */
  rollback(module: string): Promise<{ readonly module: string; readonly version: number; readonly generation: number }>;
  /** The module is not to be replaced for so long; 0: it may be. */
  defer(module: string, forMs: number, reason: string): { readonly module: string; readonly forSeconds: number };
}

export function createModuleControl(ports: ModuleControlPorts): ModuleControl {
  const { state, committed, holds } = ports;
  return {
    rollback: async (module) => {
      const { desired } = state;
      if (desired === undefined || entry(desired.modules, module) === undefined) throw unknownModule(module);
      const back = wayBack(ports, module);
      const followed = await holds.hold(desired, module, back);
      const { version } = back.image;
      ports.raise({
        level: 'warn',
        type: 'module.held',
        module,
        message: `a person at the device goes back to version ${String(version)}`,
        details: { digest: back.image.digest },
      });
      ports.follow(followed);
      return { module, version, generation: desired.generation };
    },
    defer: (module, forMs, reason) => {
      if (entry(state.observed.serving.set, module) === undefined) throw unknownModule(module);
      state.take({ kind: 'deferred', module, until: ports.clock.monotonic() + forMs, reason });
      return { module, forSeconds: forMs / 1000 };
    },
  };

  /** The version before the one that answers; while that is on probation, the one that stands by. */
  function wayBack({ state: { observed } }: ModuleControlPorts, module: string): DesiredModule {
    const answers = entry(observed.serving.set, module);
    const wanted = holds.wanted(module);
    const now = entry(committed.value.modules, module)?.desired;
    const kept = entry(committed.value.kept, module) ?? [];
    const back = [...(now === undefined ? [] : [now]), ...kept].find((one) => {
      const key = versionKeyOf(one);
      return key !== answers && (wanted === undefined || key !== versionKeyOf(wanted));
    });
    if (back !== undefined) return back;
    throw new AppError(
      'module.not-found',
      `no earlier version of ${module} is kept on this device; deploy the one you want with "flotilla deploy"`,
    );
  }
}

function unknownModule(module: string): AppError {
  return new AppError(
    'module.not-found',
    `no module ${module} on this device; "flotilla-agent status" lists what there is`,
  );
}
