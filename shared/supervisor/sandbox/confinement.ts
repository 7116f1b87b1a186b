import type { WatchedLimits } from '../resource-watch.js';
import type { GroupStory } from './cgroups.js';
import type { SandboxLimits } from './plan-sandbox.js';

/** How a confined program is started, and what there is to know of it. */
export interface Confinement {
  /** Before the program's own file and arguments. */
  readonly launcher: { readonly file: string; readonly args: readonly string[] };
  readonly environment: Readonly<Record<string, string>>;
  /** What it must stay below; the kernel keeps all but `watched`. */
  readonly limits: Pick<SandboxLimits, 'memoryBytes' | 'openFiles'> | undefined;
  readonly watched: WatchedLimits;
  /** Where the program finds its module. */
  readonly moduleFolder: string;
  /** Ends whatever the program has left running, and tells what befell it. */
  end(): Promise<GroupStory>;
}
