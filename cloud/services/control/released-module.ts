/** What a release says of one module, for a deployment: the very image and settings that devices of that release run. Pure. */
import { AppError } from '#shared/kernel/errors.js';
import { nearest } from '#shared/kernel/names.js';
import type { ReleasedModule } from '#cloud/fleet/release-plan.js';

export interface ReleaseChoice {
  /** As name:version. */
  readonly release: string;
  /** Needed where the release has several. */
  readonly module?: string | undefined;
}

/** @throws AppError `module.not-found` that names the nearest, `request.invalid` where it has to be chosen */
export function chosenModule(modules: readonly ReleasedModule[], { release, module }: ReleaseChoice): ReleasedModule {
  const names = modules.map((one) => one.module).sort();
  const [only] = modules;
  if (module === undefined) {
    if (only !== undefined && modules.length === 1) return only;
    throw new AppError('request.invalid', `${release} has ${names.join(', ')}: say which by --module`);
  }
  const found = modules.find((one) => one.module === module);
  if (found !== undefined) return found;
  const near = nearest(module, names);
  const help = near === undefined ? `it has ${names.join(', ')}` : `did you mean ${near}?`;
  throw new AppError('module.not-found', `${release} has no module ${module}: ${help}`);
}
