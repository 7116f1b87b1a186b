/** What hosts of a device collect, by its desired document; without one nothing. Pure. */
import type { CollectRules } from '#shared/protocol/collect.js';
import type { Desired } from '#shared/protocol/desired.js';
import type { DeviceAddress } from '#shared/protocol/topics.js';

/** A piece is a message, whose bound is twice that. */
const maxPieceBytes = 64 * 1024;
const maxLineBytes = 48 * 1024;
/** A batch costs a sync of the disk. */
const maxOpenMs = 5_000;

/** @param allowed by the owner of the device */
export function collectRulesOf(
  { workspace, device }: DeviceAddress,
  desired: Pick<Desired, 'modules'> | undefined,
  allowed: boolean,
): CollectRules {
  const modules = Object.entries(desired?.modules ?? {}).flatMap(([name, { collect }]) => {
    if (collect === undefined || !allowed) return [];
    const { maxBytes: _bound, ...rule } = collect;
    const source = `/workspaces/${workspace}/devices/${device}/modules/${name}`;
    return [[name, { ...rule, source, maxLineBytes, maxPieceBytes, maxOpenMs }] as const];
  });
  return { schema: 1, modules: Object.fromEntries(modules) };
}

/** Modules of which more is asked than the owner allows. */
export function refusedModules(desired: Pick<Desired, 'modules'> | undefined, allowed: boolean): string[] {
  if (allowed) return [];
  return Object.entries(desired?.modules ?? {}).flatMap(([name, { collect }]) => (collect === undefined ? [] : [name]));
}
