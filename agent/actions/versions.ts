/** Finds what a version key stands for, among what is desired, committed and being served. */
import type { Desired, DesiredModule } from '#shared/protocol/desired.js';
import { entry, type ServingSet, type VersionKey, versionKeyOf } from '#agent/reconcile/observed.js';
import { shadowVersionOf, withoutShadow } from '#agent/reconcile/shadows.js';
import type { Committed } from '#agent/store/state-documents.js';

export class KnownVersions {
  private served: Readonly<Record<string, DesiredModule>> = {};

  constructor(
    private readonly desired: () => Desired | undefined,
    private readonly committed: () => Committed,
  ) {}

  find(name: string, key: VersionKey): DesiredModule | undefined {
    const wanted = this.desired();
    const candidates = [
      wanted === undefined ? undefined : entry(wanted.modules, name),
      entry(this.served, name),
      entry(this.committed().modules, name)?.desired,
    ];
    const found = candidates.find((module) => module !== undefined && versionKeyOf(module) === key);
    return found && withoutShadow(found);
  }

  /** The version that is to get copies of what a module is asked. */
  findShadow(name: string, key: VersionKey): DesiredModule | undefined {
    const module = entry(this.desired()?.modules ?? {}, name);
    const shadow = module && shadowVersionOf(module);
    return shadow !== undefined && versionKeyOf(shadow) === key ? shadow : undefined;
  }

  /** @throws when a planned set names a version that nothing here knows: a bug */
  require(name: string, key: VersionKey): DesiredModule {
    const module = this.find(name, key);
    if (module === undefined) throw new Error(`version ${key} of ${name} is not known`);
    return module;
  }

  /** @throws as {@link require} does */
  of(set: ServingSet): Readonly<Record<string, DesiredModule>> {
    return Object.fromEntries(Object.entries(set).map(([name, key]) => [name, this.require(name, key)]));
  }

  /** What answers now stays known although another is desired and it is not committed yet. */
  keep(served: Readonly<Record<string, DesiredModule>>): void {
    this.served = served;
  }

  get servedNow(): Readonly<Record<string, DesiredModule>> {
    return this.served;
  }
}
