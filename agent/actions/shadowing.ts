/** What the actions do that concern shadows: start beside what answers, copy to, end. */
import { AppError, type Problem, toProblem } from '#shared/kernel/errors.js';
import type { Executors } from '#agent/reconcile/action.js';
import { entry } from '#agent/reconcile/observed.js';
import { ruleKeyOf, ruleOf, shadowOf, shadowTrackOf } from '#agent/reconcile/shadows.js';
import type { ExecutorPorts } from '#agent/actions/executors.js';

export type ShadowExecutors = Pick<Executors, 'startShadow' | 'mirrorShadow' | 'stopShadow' | 'refuseShadow'>;

export function createShadowing(ports: ExecutorPorts): ShadowExecutors {
  const { state, versions, serving, images, background, raise } = ports;
  const fail = (module: string, key: string, problem: Problem): void =>
    state.take({ kind: 'versionFailed', track: shadowTrackOf(module), key, problem });

  return {
    startShadow: async ({ module, key }) => {
      const desired = versions.findShadow(module, key);
      if (desired === undefined) return;
      const { digest, version } = desired.image;
      const manifest = await images.readModule(digest).catch((error: unknown) => {
        if (error instanceof AppError) return undefined;
        throw error;
      });
      if (manifest === undefined) {
        state.take({ kind: 'versionLost', track: shadowTrackOf(module), key });
        return;
      }
      state.take({ kind: 'shadowStarting', module, key });
      background.run(async () => {
        await ports.sandboxReady();
        const one = { name: module, key, desired, manifest, folder: images.folderOf(digest) };
        const started = await serving.shadows.start(one);
        if (started === undefined) return;
        if (started.ok) {
          state.take({ kind: 'shadowRunning', module, key, ...started.value });
          raise({
            level: 'info',
            type: 'shadow.started',
            module,
            message: `version ${String(version)} gets copies of live requests, and answers none`,
            details: { digest },
          });
        } else if (started.error.code === 'process.failed') {
          state.take({ kind: 'shadowExited', module, key, clean: false, reason: started.error.message });
        } else {
          state.take({ kind: 'shadowGone', module });
          fail(module, key, started.error);
        }
      });
    },

    mirrorShadow: async ({ module, key }) => {
      const shadow = shadowOf(state.desired, module);
      if (shadow === undefined || entry(state.observed.shadows, module)?.key !== key) return;
      try {
        await serving.shadows.mirror(module, ruleOf(shadow));
      } catch (error) {
        if (!(error instanceof AppError)) throw error;
        // The host that answers is gone: its successor is told.
        if (error.code !== 'config.invalid') throw error;
        fail(module, key, { code: 'shadow.failed', message: toProblem(error).message });
        return;
      }
      state.take({ kind: 'shadowMirrored', module, key, rule: ruleKeyOf(shadow) });
    },

    stopShadow: async ({ module }) => {
      await serving.shadows.stop(module);
      state.take({ kind: 'shadowGone', module });
    },

    refuseShadow: async ({ module, key, problem }) => fail(module, key, problem),
  };
}
