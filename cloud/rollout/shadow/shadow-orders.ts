/** Which shadows a release asks of a device: its modules beside other versions of theirs that the device has. Pure. */
import { canonicalJson } from '#shared/protocol/canonical-json.js';
import { shadowRuleSchema } from '#shared/protocol/shadow.js';
import type { DeployedModule } from '#cloud/fleet/desired-document.js';
import type { ReleasedModule } from '#cloud/fleet/release-plan.js';
import type { ShadowOrder } from '#cloud/fleet/shadow-twin.js';
import type { RolloutShadow } from './shadow-policy.js';

/** @returns by module; empty where there is nothing to compare */
export function shadowOrders(
  current: readonly DeployedModule[],
  released: readonly ReleasedModule[],
  { percent, compare, modules }: RolloutShadow,
  tag: string,
): Record<string, ShadowOrder> {
  const orders: [string, ShadowOrder][] = [];
  for (const { module, image, settings } of released) {
    const incumbent = current.find((one) => one.module === module);
    if (incumbent === undefined) continue;
    const same =
      incumbent.image.digest === image.digest && canonicalJson(incumbent.settings) === canonicalJson(settings);
    if (same) continue;
    const own = Object.hasOwn(modules, module) ? modules[module] : undefined;
    const rule = shadowRuleSchema.parse({ percent, compare: own ?? compare, tag });
    orders.push([module, { image: image.digest, settings, rule }]);
  }
  return Object.fromEntries(orders);
}
