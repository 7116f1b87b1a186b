import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
// Files of one worker share the modules that they load: loading is most of what a small test costs.
const shared = { isolate: false };
const slow = { testTimeout: 60_000, hookTimeout: 60_000 };

/** One project a kind of test; a later kind may need what an earlier one proves. */
const project = (name: string, options: object = {}) => ({
  extends: true as const,
  test: { name, include: [`test/${name}/**/*.test.ts`], ...options },
});

export default defineConfig({
  root,
  resolve: { conditions: ['source'] },
  ssr: { resolve: { conditions: ['source'] } },
  test: {
    environment: 'node',
    env: { ORT_DISABLE_TELEMETRY: '1', FLOTILLA_LOG_LEVEL: 'silent' },
    setupFiles: ['test/support/property-seed.ts'],
    pool: 'forks',
    // More than the cores of a small machine: who runs built programs waits for them half of the time.
    maxWorkers: 3,
    projects: [
      project('unit', { ...shared, testTimeout: 30_000 }),
      project('property', { ...shared, testTimeout: 30_000 }),
      project('contract', slow),
      project('integration', slow),
      project('scenario', slow),
      // Built programs as separate processes.
      project('e2e', { testTimeout: 180_000, hookTimeout: 180_000 }),
    ],
  },
});
