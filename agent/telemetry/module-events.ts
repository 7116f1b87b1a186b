/** Says what befell a version, in events and in the module's log. */
import type { DeviceEvent } from '#shared/protocol/stream.js';
import type { DeviceState } from '#agent/reconcile/device-state.js';
import { entry } from '#agent/reconcile/observed.js';
import type { Fact } from '#agent/reconcile/fact.js';

export function watchModules(
  state: DeviceState,
  raise: (event: Omit<DeviceEvent, 'at'>) => void,
  log: (module: string, line: string) => void,
): (fact: Fact) => void {
  return (fact) => {
    if (fact.kind === 'staged' && !fact.track.startsWith('sha256:')) {
      const track = entry(state.observed.tracks, fact.track);
      const version = track?.image.version ?? 0;
      const { bytesFetched = 0, bytesReused = 0, bytesResumed = 0 } = track?.progress ?? {};
      const message = `version ${String(version)} is staged (${String(bytesFetched)} bytes fetched, ${String(bytesResumed)} resumed, ${String(bytesReused)} reused)`;
      raise({ level: 'info', type: 'module.staged', module: fact.track, message });
      log(fact.track, message);
    }
    if (fact.kind === 'versionFailed') {
      const track = entry(state.observed.tracks, fact.track);
      if (track === undefined) return;
      const rejected = track.state === 'rejected';
      const module = fact.track.startsWith('sha256:') ? {} : { module: fact.track };
      const what = rejected ? 'rejected' : `failed (${String(track.attempts)})`;
      const message = `version ${String(track.image.version)} ${what}: ${fact.problem.message}`;
      raise({
        level: rejected ? 'error' : 'warn',
        type: rejected ? 'module.rejected' : 'module.failed',
        ...module,
        message,
        details: { code: fact.problem.code, digest: track.image.digest },
      });
      if (module.module !== undefined) log(module.module, message);
    }
  };
}
