/** The programs that the agent starts, found from here: this file lies where they are looked for from. */
import { findHostEntries, type HostEntries } from '#shared/supervisor/host-entries.js';

export function programFiles(): HostEntries {
  return findHostEntries(import.meta.url);
}
