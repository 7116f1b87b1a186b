/** Maintenance windows of a rollout's devices at one moment. Pure. */
import { type WindowState, windowsAt } from '#shared/protocol/maintenance-window.js';
import type { RolloutPolicy } from './policy.js';
import type { RolloutDevice } from './rollout-model.js';

/**
 * A device is asked when its window opens by the time zone that it reports, and judges for itself by its own clock:
 * what it says counts, once it was asked.
 *
 * @returns the devices with how their windows stand; without windows as they are
 */
export function withWindows(
  devices: readonly RolloutDevice[],
  { windows }: Pick<RolloutPolicy, 'windows'>,
  now: number,
): readonly RolloutDevice[] {
  if (windows === undefined) return devices;
  // Reading a zone's calendar is dear, and a fleet is in few zones.
  const byZone = new Map<string, WindowState>();
  return devices.map((one): RolloutDevice => {
    const { timeZone = 'UTC', observed } = one;
    const said = observed.kind === 'working' ? observed.opensAt : undefined;
    if (said !== undefined && said > now) return { ...one, window: { open: false, opensAt: said } };
    let window = byZone.get(timeZone);
    if (window === undefined) {
      window = windowsAt(windows, timeZone, now);
      byZone.set(timeZone, window);
    }
    return { ...one, window };
  });
}

/** Asked, and not to begin before its window opens. */
export function awaitsWindow({ standing, window }: Pick<RolloutDevice, 'standing' | 'window'>): boolean {
  return standing === 'changing' && window?.open === false;
}
