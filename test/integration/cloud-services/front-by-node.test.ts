/** What holds of the front holds too where Node's server reads every request: these are its tests once more. */
import { reading } from '#test/support/front-world.js';

reading.plain = false;
await import('./front-connections.test.js');
await import('./front-contract.test.js');
await import('./front-hostile.test.js');
await import('./front-trouble.test.js');
await import('./front-tls.test.js');
