/** The serving of one device: what befalls its processes becomes facts, events and lines of logs. */
import type { Clock } from '#shared/kernel/clock.js';
import { usableCores } from '#shared/platform/usable-cores.js';
import type { DeviceEvent } from '#shared/protocol/stream.js';
import { causeText } from '#shared/supervisor/host-child.js';
import type { HostEntries } from '#shared/supervisor/host-entries.js';
import type { HostSettings } from '#shared/supervisor/host-set.js';
import type { ListenHandle } from '#shared/supervisor/listen-handle.js';
import type { AgentConfig } from '#agent/config.js';
import type { LogRings } from '#agent/local/log-rings.js';
import { hostEnvironmentOf } from '#agent/providers/host-environment.js';
import type { DeviceState } from '#agent/reconcile/device-state.js';
import { defaultPolicy } from '#agent/reconcile/policy.js';
import { Serving, type ServingPorts } from '#agent/serving/serving.js';

export interface DeviceServingParts extends Pick<ServingPorts, 'labels' | 'onCandidateExit' | 'onLastStats'> {
  readonly config: AgentConfig;
  readonly clock: Clock;
  readonly logs: LogRings;
  readonly entries: HostEntries;
  readonly handle: ListenHandle;
  readonly grpcHandle: ListenHandle | undefined;
  readonly runFolder: string;
  readonly hostSettings: Omit<HostSettings, 'labels'>;
  readonly state: DeviceState;
  readonly raise: (event: Omit<DeviceEvent, 'at'>) => void;
}

export function createServing(parts: DeviceServingParts): Serving {
  const { clock, logs, state, raise } = parts;
  return new Serving({
    clock,
    entries: parts.entries,
    hostEnvironment: hostEnvironmentOf(parts.config),
    handle: parts.handle,
    grpcHandle: parts.grpcHandle,
    runFolder: parts.runFolder,
    cores: usableCores(),
    settings: parts.hostSettings,
    drainMs: defaultPolicy.drainMs,
    labels: parts.labels,
    onHostExit: (cause) => {
      const reason = `the scoring host ended: ${causeText(cause)}`;
      raise({ level: 'error', type: 'host.crashed', message: reason });
      state.take({ kind: 'hostExited', clean: cause.code === 0, reason });
    },
    onScriptExit: (module, cause) => {
      const reason = `its script host ended: ${causeText(cause)}`;
      raise({ level: 'error', type: 'module.crashed', module, message: reason });
      state.take({ kind: 'scriptExited', module, clean: cause.code === 0, reason });
    },
    onDefer: (module, forMs, reason) =>
      state.take({ kind: 'deferred', module, until: clock.monotonic() + forMs, reason }),
    onCandidateExit: parts.onCandidateExit,
    onLog: (modules, line) => {
      for (const module of modules) logs.module(module, line);
    },
    onLastStats: parts.onLastStats,
  });
}
