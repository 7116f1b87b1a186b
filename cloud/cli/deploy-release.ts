/** `flotilla deploy --release`: a device runs the modules of one release, and no others. */
import { AppError } from '#shared/kernel/errors.js';
import { routes } from '#cloud/client/routes.js';
import { followDeployment } from './deploy-follow.js';
import { describeChanges } from './release-text.js';
import type { Session } from './session.js';

export interface ReleaseOrder {
  /** name:version */
  readonly release: string;
  readonly device: string;
  readonly dryRun: boolean;
  readonly wait: boolean;
  readonly timeoutMs: number;
}

/** Flags of `flotilla deploy` that say what a release says itself. */
const ownFlags = ['as', 'set', 'restart', 'probation', 'watch', 'atomic', 'keep', 'deferAtMost', 'window'] as const;

/** @param given whether a person gave the flag. @throws AppError `request.invalid` */
export function refuseModuleFlags(given: (flag: string) => boolean): void {
  for (const flag of ownFlags) {
    if (!given(flag)) continue;
    const written = flag.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    throw new AppError('request.invalid', `--${written} does not go with --release: what a release says never changes`);
  }
}

export async function deployRelease(session: Session, order: ReleaseOrder): Promise<void> {
  const { client, out, progress } = session;
  const { release, device } = order;
  if (order.dryRun) {
    const planned = await client.call(routes.releaseChanges, { params: { device }, query: { release } });
    out.result(planned, () => describeChanges(planned.changes));
    return;
  }
  const wanted = await client.call(routes.releaseGet, { params: { release } });
  const before = await client.call(routes.deviceGet, { params: { device } });
  const deployed = await client.call(routes.releaseDeploy, { params: { device }, body: { release } });
  const { generation, changes } = deployed;
  if (!order.wait) {
    const desired = `${release} is desired on ${device} (generation ${String(generation)})\n`;
    out.result({ ...deployed, done: false }, () => desired + describeChanges(changes));
    return;
  }
  progress.line(`${release} on ${device}, generation ${String(generation)}`);
  for (const { module, change } of changes) progress.line(`  ${module} ${change}`);
  const refusedBeforeAt = before.reported.refused?.at;
  const targets = changes.map(({ module, change }) => ({
    generation,
    module,
    digest: change === 'removed' ? undefined : wanted.modules[module]?.image.digest,
    refusedBeforeAt,
  }));
  const { done, text } = await followDeployment(session, device, targets, order.timeoutMs);
  out.result({ ...deployed, done }, () => text);
}
