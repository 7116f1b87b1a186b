/** Says what befell a version, in events and in the module's log. */
import type { DeviceEvent } from '#shared/protocol/stream.js';
import type { DeviceState } from '#agent/reconcile/device-state.js';
import { entry } from '#agent/reconcile/observed.js';
import type { Fact } from '#agent/reconcile/fact.js';
import { trackOwner } from '#agent/reconcile/shadows.js';

export function watchModules(
  state: DeviceState,
  raise: (event: Omit<DeviceEvent, 'at'>) => void,
  log: (module: string, line: string) => void,
): (fact: Fact) => void {
  return (fact) => {
    const owner = 'track' in fact ? trackOwner(fact.track) : undefined;
    const as = owner?.shadow === true ? 'shadow ' : '';
    if (fact.kind === 'staged' && owner !== undefined) {
      const track = entry(state.observed.tracks, fact.track);
      const version = track?.image.version ?? 0;
      const { bytesFetched = 0, bytesReused = 0, bytesResumed = 0 } = track?.progress ?? {};
      const message = `${as}version ${String(version)} is staged (${String(bytesFetched)} bytes fetched, ${String(bytesResumed)} resumed, ${String(bytesReused)} reused)`;
      raise({ level: 'info', type: 'module.staged', module: owner.module, message });
      log(owner.module, message);
    }
    if (fact.kind === 'versionFailed') {
      const track = entry(state.observed.tracks, fact.track);
      if (track === undefined) return;
      const rejected = track.state === 'rejected';
      const module = owner === undefined ? {} : { module: owner.module };
      const kind = owner?.shadow === true ? 'shadow' : 'module';
      const what = rejected ? 'rejected' : `failed (${String(track.attempts)})`;
      const message = `${as}version ${String(track.image.version)} ${what}: ${fact.problem.message}`;
      raise({
        level: rejected ? 'error' : 'warn',
        type: `${kind}.${rejected ? 'rejected' : 'failed'}`,
        ...module,
        message,
        details: { code: fact.problem.code, digest: track.image.digest },
      });
      if (owner !== undefined) log(owner.module, message);
    }
  };
}
