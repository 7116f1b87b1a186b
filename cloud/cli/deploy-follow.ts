/**
 * Follows deployments of one generation until the device has done it or will not. The device's state is read anew
 * each time; live events only say when to look, so that losing them costs time, not truth.
 */
import { AppError } from '#shared/kernel/errors.js';
import { routes } from '#cloud/client/routes.js';
import { type DeployTarget, judgeDeployments } from './deploy-verdict.js';
import { waitInterruptibly } from './interruption.js';
import { watchDevice } from './device-watch.js';
import type { Session } from './session.js';

/** @returns the sentence that says it is done, or that the device is ready and waits for its window */
export async function followDeployment(
  session: Session,
  device: string,
  targets: readonly DeployTarget[],
  timeoutMs: number,
): Promise<{ readonly done: boolean; readonly text: string }> {
  const { io, client, progress } = session;
  const goesOn = `the deployment goes on; flotilla device modules ${device}`;
  const deadline = io.clock.monotonic() + timeoutMs;
  const watch = watchDevice(client, io.clock, device);
  try {
    return await waitInterruptibly(io, goesOn, async () => {
      for (;;) {
        const changed = watch.nextChange();
        const state = await client.call(routes.deviceGet, { params: { device } });
        const verdict = judgeDeployments(state, targets);
        if (verdict.kind === 'done' || verdict.kind === 'waits') {
          return { done: verdict.kind === 'done', text: verdict.text };
        }
        if (verdict.kind === 'failed') {
          throw new AppError(verdict.problem.code, verdict.problem.message, {
            details: { device, ...verdict.problem.details },
          });
        }
        if (verdict.bytes) progress.bytes(verdict.text, verdict.bytes.done, verdict.bytes.total);
        else progress.update(verdict.text, verdict.step);
        const leftMs = deadline - io.clock.monotonic();
        if (leftMs <= 0) {
          throw new AppError('device.timeout', `not done in time: ${verdict.text}; ${goesOn}`);
        }
        await changed(leftMs, io.signal);
        if (io.signal.aborted) return { done: false, text: '' };
      }
    });
  } finally {
    await watch.close();
    progress.clear();
  }
}
