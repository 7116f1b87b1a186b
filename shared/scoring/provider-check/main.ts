/**
 * The process that tries one execution provider, named by its argument: a driver that crashes or hangs
 * takes this process with it, and no other.
 */
import type { ProviderFinding } from './check-protocol.js';

const provider = process.argv[2];
if (provider === undefined || process.send === undefined)
  throw new Error('started by "flotilla-agent providers check"');
// Loaded here, so that a library that does not load at all is a failure of this process alone.
const { checkProvider } = await import('./check-provider.js');
const finding: ProviderFinding = await checkProvider(provider);
// Said before anything of the driver is taken down.
process.send(finding, () => process.kill(process.pid, 'SIGKILL'));
