import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type SandboxAspect, sandboxAspects, type SandboxCapabilities } from '#shared/protocol/sandbox.js';
import { planSandbox, type SandboxRecipe } from '#shared/supervisor/sandbox/plan-sandbox.js';
import { sandboxCommand } from '#shared/supervisor/sandbox/sandbox-command.js';

const capabilities = fc.record(
  Object.fromEntries(
    sandboxAspects.map((aspect) => [aspect, fc.record({ enforced: fc.boolean(), by: fc.constant('why') })]),
  ),
) as fc.Arbitrary<SandboxCapabilities>;
const aspects = fc.uniqueArray(fc.constantFrom(...sandboxAspects));
const policy = fc.record({
  allowNetwork: fc.boolean(),
  maxMemoryBytes: fc.integer({ min: 64 * 2 ** 20, max: 2 ** 36 }),
  maxCpus: fc.double({ min: 0.05, max: 64, noNaN: true }),
  require: aspects,
});
const needs = fc.record({
  resources: fc.option(
    fc.record({
      memoryMegabytes: fc.integer({ min: 64, max: 65_536 }),
      cpus: fc.double({ min: 0.05, max: 64, noNaN: true }),
      processes: fc.integer({ min: 24, max: 1000 }),
      openFiles: fc.integer({ min: 64, max: 10_000 }),
      temporaryMegabytes: fc.integer({ min: 1, max: 1000 }),
    }),
    { nil: undefined },
  ),
  permissions: fc.option(fc.record({ network: fc.boolean() }), { nil: undefined }),
  requires: fc.option(fc.record({ sandbox: aspects }), { nil: undefined }),
});

/** Told from the recipe alone, without a look at what it was made of. */
function enforces(recipe: SandboxRecipe, aspect: SandboxAspect): boolean {
  switch (aspect) {
    case 'user':
      return recipe.user === 'own';
    case 'mounts':
      return recipe.view === 'private';
    case 'network':
      return recipe.network === 'none';
    case 'memory':
    case 'cpu':
    case 'pids':
    case 'files':
      return recipe.kept[aspect];
  }
}

describe('planSandbox', () => {
  it('never runs user code with less than module and device require, and never claims what the machine cannot', () => {
    fc.assert(
      fc.property(policy, capabilities, needs, (allowed, can, asked) => {
        const planned = planSandbox(allowed, can, asked);
        if (!planned.ok) return;
        const recipe = planned.value;
        const granted = asked.permissions?.network === true;
        if (granted) expect(allowed.allowNetwork).toBe(true);
        for (const aspect of [...allowed.require, ...(asked.requires?.sandbox ?? [])]) {
          if (!(aspect === 'network' && granted)) expect(enforces(recipe, aspect)).toBe(true);
        }
        for (const aspect of sandboxAspects) {
          if (enforces(recipe, aspect)) expect(can[aspect].enforced).toBe(true);
          expect(recipe.missing.includes(aspect)).toBe(!can[aspect].enforced && !(aspect === 'network' && granted));
        }
        expect(recipe.limits.memoryBytes).toBeLessThanOrEqual(allowed.maxMemoryBytes);
        expect(recipe.limits.cpus).toBeLessThanOrEqual(allowed.maxCpus);
      }),
    );
  });

  it('refuses only with a reason that names what is unmet', () => {
    fc.assert(
      fc.property(policy, capabilities, needs, (allowed, can, asked) => {
        const planned = planSandbox(allowed, can, asked);
        if (planned.ok || planned.error.code !== 'capability.unmet') return;
        const unmet = planned.error.details?.['unmet'] as SandboxAspect[];
        expect(unmet.length).toBeGreaterThan(0);
        for (const aspect of unmet) {
          expect(can[aspect].enforced).toBe(false);
          expect(planned.error.message).toContain(aspect);
        }
      }),
    );
  });

  it('becomes a command whose last words are the program, in an own user only after all that needs root', () => {
    fc.assert(
      fc.property(policy, capabilities, fc.constantFrom('root', 'user'), (allowed, can, namespaces) => {
        const planned = planSandbox({ ...allowed, require: [] }, can, {});
        if (!planned.ok) return;
        const tools = { sh: '/sh', unshare: '/unshare', setpriv: '/setpriv', prlimit: '/prlimit' };
        const program = ['/node', '--flag', '/x y; rm -rf'];
        const { file, args } = sandboxCommand({
          ...{ recipe: planned.value, namespaces, tools, user: 60_800, viewRoot: '/v', view: [], entrances: ['/g'] },
          program,
        });
        const words = [file, ...args];
        expect(words.slice(-3)).toEqual(program);
        const order = ['/unshare', '/setpriv', '/prlimit'].map((tool) => words.indexOf(tool)).filter((at) => at >= 0);
        expect(order).toEqual([...order].sort((a, b) => a - b));
        expect(words).toContain('--no-new-privs');
        expect(words.includes('--net')).toBe(planned.value.network === 'none');
        expect(words.includes('--mount')).toBe(planned.value.view === 'private');
        expect(words.includes('--reuid')).toBe(planned.value.user === 'own');
      }),
    );
  });
});
