/** The serving of one device: what befalls its processes becomes facts, events and lines of logs. */
import type { Clock } from '#shared/kernel/clock.js';
import { usableCores } from '#shared/platform/usable-cores.js';
import type { DeviceEvent } from '#shared/protocol/stream.js';
import { causeText } from '#shared/supervisor/exit-cause.js';
import type { HostEntries } from '#shared/supervisor/host-entries.js';
import type { HostSettings } from '#shared/supervisor/host-set.js';
import type { EarlyHost } from '#shared/supervisor/early-host.js';
import type { ListenHandle } from '#shared/supervisor/listen-handle.js';
import type { AgentConfig } from '#agent/config.js';
import type { LogRings } from '#agent/local/log-rings.js';
import { hostEnvironmentOf } from '#agent/providers/host-environment.js';
import type { DeviceState } from '#agent/reconcile/device-state.js';
import { defaultPolicy } from '#agent/reconcile/policy.js';
import { shadowTrackOf } from '#agent/reconcile/shadows.js';
import type { MachineSandbox } from '#shared/supervisor/sandbox/machine-sandbox.js';
import type { ModuleTroubles } from '#agent/telemetry/module-troubles.js';
import { Serving, type ServingPorts } from '#agent/serving/serving.js';

export interface DeviceServingParts
  extends Pick<ServingPorts, 'labels' | 'onCandidateExit' | 'onLastStats' | 'onEmission'> {
  readonly config: AgentConfig;
  readonly clock: Clock;
  readonly logs: LogRings;
  readonly entries: HostEntries;
  readonly earlyHost: EarlyHost;
  readonly handle: ListenHandle;
  readonly grpcHandle: ListenHandle | undefined;
  readonly sandbox: MachineSandbox;
  readonly hostSettings: Omit<HostSettings, 'labels'>;
  readonly state: DeviceState;
  readonly troubles: ModuleTroubles;
  readonly raise: (event: Omit<DeviceEvent, 'at'>) => void;
}

export function createServing(parts: DeviceServingParts): Serving {
  const { clock, logs, state, troubles } = parts;
  return new Serving({
    clock,
    entries: parts.entries,
    hostEnvironment: hostEnvironmentOf(parts.config),
    earlyHost: parts.earlyHost,
    handle: parts.handle,
    grpcHandle: parts.grpcHandle,
    sandbox: parts.sandbox,
    cores: usableCores(),
    settings: parts.hostSettings,
    drainMs: defaultPolicy.drainMs,
    labels: parts.labels,
    onHostExit: (cause) => state.take({ kind: 'hostExited', ...troubles.ended(undefined, cause) }),
    onScriptExit: (module, cause) => state.take({ kind: 'scriptExited', module, ...troubles.ended(module, cause) }),
    shadow: {
      onExit: (module, key, cause) => {
        const reason = causeText(cause);
        const message = `its shadow ended: ${reason}`;
        parts.raise({ level: 'warn', type: 'shadow.crashed', module, message, details: { ...cause.numbers } });
        logs.module(module, message);
        state.take({ kind: 'shadowExited', module, key, clean: cause.kind === 'exit' && cause.code === 0, reason });
      },
      onRefused: (module, key, { message }) => {
        const problem = { code: 'shadow.failed', message } as const;
        state.take({ kind: 'versionFailed', track: shadowTrackOf(module), key, problem });
      },
      onCounted: (module, key, numbers) => state.take({ kind: 'shadowCounted', module, key, numbers }),
    },
    onDefer: (module, forMs, reason) =>
      state.take({ kind: 'deferred', module, until: clock.monotonic() + forMs, reason }),
    onCandidateExit: parts.onCandidateExit,
    onLog: (modules, line) => {
      for (const module of modules) logs.module(module, line);
    },
    onLogDropped: (module, dropped) => troubles.dropped(module, dropped),
    onLastStats: parts.onLastStats,
    onEmission: parts.onEmission,
  });
}
