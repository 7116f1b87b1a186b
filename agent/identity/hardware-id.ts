/** What this machine calls itself: made at its installation, the same after every boot. */
import { readTextIfPresent } from '#shared/platform/private-file.js';

/** Undefined where the system has none. */
export async function readHardwareId(): Promise<string | undefined> {
  const text = (await readTextIfPresent('/etc/machine-id').catch(() => undefined))?.trim();
  return text !== undefined && /^[0-9a-f]{32}$/.test(text) ? text : undefined;
}
