/** Starts user code in its bounds, and ends all that it started: the acting half of {@link planSandbox}. */
import { chmodSync, chownSync, cpSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { AppError, type Problem } from '#shared/kernel/errors.js';
import type { Result } from '#shared/kernel/result.js';
import type { SandboxNeeds } from '#shared/package/sandbox-options.js';
import type { Cgroup, GroupStory } from './cgroups.js';
import type { Confinement } from './confinement.js';
import { nothingBefell } from './own-bounds.js';
import { planSandbox, type SandboxPolicy, type SandboxRecipe } from './plan-sandbox.js';
import type { SandboxMachine } from './probe-sandbox.js';
import { confinedPath, sandboxCommand } from './sandbox-command.js';
import { SandboxUsers } from './sandbox-users.js';
import { nodePath, programPaths, viewOf } from './sandbox-view.js';

/** One confined process after another of one module, all with the same user. */
export interface Cell {
  /** Whom sockets that the process may open are given to; undefined: it has the agent's user. */
  readonly user: number | undefined;
  confine(entry: string): Confinement;
  /** No process of it runs any more. */
  close(): void;
}

export interface CellInput {
  readonly name: string;
  readonly recipe: SandboxRecipe;
  readonly moduleFolder: string;
  /** Files of the module that it does not need itself: reached through the scoring host. */
  readonly models: readonly string[];
  /** A folder of our own that the process may look into: its sockets lie there. */
  readonly folder: string;
}

/** V8 collects harder as it comes near this share of the limit, and then says itself that memory is out. */
const heapShare = 0.75;

export class Sandbox {
  private readonly users: SandboxUsers;
  private cells = 0;

  constructor(
    private readonly machine: SandboxMachine,
    private readonly policy: SandboxPolicy,
    /** Below `scratch` views are built; nothing of `secrets` is ever seen. */
    private readonly where: { readonly owner: string; readonly scratch: string; readonly secrets: readonly string[] },
  ) {
    this.users = new SandboxUsers(where.owner);
  }

  plan(needs: SandboxNeeds): Result<SandboxRecipe, Problem> {
    return planSandbox(this.policy, this.machine.capabilities, needs);
  }

  open(input: CellInput): Cell {
    const { recipe, folder } = input;
    const user = recipe.user === 'own' ? this.users.take() : undefined;
    if (recipe.user === 'own' && user === undefined) {
      throw new AppError(
        'process.failed',
        'user code has a user of its own for each process, and all that there are for it are taken: run less of it at once',
      );
    }
    this.cells += 1;
    const id = `${input.name}-${String(this.cells)}`;
    mkdirSync(folder, { recursive: true });
    chmodSync(folder, 0o750);
    if (user !== undefined) chownSync(folder, 0, user);
    const copy = recipe.view === 'machine' && user !== undefined ? join(folder, 'module') : undefined;
    if (copy !== undefined) copyModule(input, copy);
    const moduleFolder = copy ?? input.moduleFolder;
    if (user !== undefined) letRead(moduleFolder);
    let starts = 0;
    return {
      user,
      confine: (entry) => {
        starts += 1;
        return this.confine({ ...input, moduleFolder }, user, `${id}-${String(starts)}`, entry);
      },
      close: () => {
        rmSync(folder, { recursive: true, force: true });
        if (user !== undefined) this.users.give(user);
      },
    };
  }

  private confine(input: CellInput, user: number | undefined, id: string, entry: string): Confinement {
    const { recipe, moduleFolder, folder } = input;
    const { limits, kept } = recipe;
    const { machine, where } = this;
    const viewRoot = join(where.scratch, id);
    mkdirSync(viewRoot, { recursive: true });
    const group = machine.cgroups?.create(id, limits);
    const node = nodePath();
    const heapMegabytes = Math.floor((limits.memoryBytes * heapShare) / 2 ** 20);
    const { file, args } = sandboxCommand({
      recipe,
      namespaces: machine.namespaces,
      tools: machine.tools,
      user: user ?? 0,
      viewRoot,
      view: viewOf({
        programs: [node, ...programPaths(entry)],
        folders: [moduleFolder, folder],
        secrets: where.secrets,
        network: recipe.network === 'machine',
        temporaryBytes: limits.temporaryBytes,
      }),
      entrances: group?.entrances ?? [],
      program: [node, `--max-old-space-size=${String(heapMegabytes)}`],
    });
    const temporary = recipe.view === 'private' ? '/tmp' : temporaryFolder(folder, user);
    return {
      launcher: { file, args },
      environment: { PATH: confinedPath, HOME: temporary, TMPDIR: temporary },
      limits,
      watched: {
        memoryBytes: kept.memory ? undefined : limits.memoryBytes,
        openFiles: kept.files ? limits.openFiles : undefined,
      },
      moduleFolder,
      end: async () => {
        const story = await this.end(group, user);
        rmSync(viewRoot, { recursive: true, force: true });
        return story;
      },
    };
  }

  private async end(group: Cgroup | undefined, user: number | undefined): Promise<GroupStory> {
    const { setpriv, sh } = this.machine.tools;
    // Without a group, a user of its own tells its processes from all others'.
    if ((group === undefined || group.entrances.length === 0) && user !== undefined && setpriv && sh) {
      const args = ['--reuid', String(user), '--regid', String(user), '--clear-groups', sh, '-c', 'kill -9 -1'];
      await new Promise<void>((resolve) => {
        execFile(setpriv, args, { timeout: 5000 }, () => resolve());
      });
    }
    const story = group?.story() ?? nothingBefell;
    await group?.end();
    return story;
  }
}

/** Where it sees the machine's files, the agent's own folder is closed to it: it gets its module beside its sockets. */
function copyModule({ moduleFolder, models }: CellInput, target: string): void {
  const left = new Set(models.map((file) => join(moduleFolder, file)));
  cpSync(moduleFolder, target, { recursive: true, filter: (source) => !left.has(source) });
}

/** By any user who gets there: a service manager may have it that our files are for nobody else. */
function letRead(path: string): void {
  chmodSync(path, 0o755);
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    if (entry.isDirectory()) letRead(join(path, entry.name));
    else if (entry.isFile()) chmodSync(join(path, entry.name), 0o444);
  }
}

function temporaryFolder(folder: string, user: number | undefined): string {
  const path = join(folder, 'tmp');
  rmSync(path, { recursive: true, force: true });
  mkdirSync(path, { mode: 0o700 });
  if (user !== undefined) chownSync(path, user, user);
  return path;
}

/** Of all processes the agent is to be the last that the kernel ends when memory runs out. */
export function sacrificeFirst(pid: number, score: number): void {
  try {
    writeFileSync(`/proc/${String(pid)}/oom_score_adj`, String(score));
  } catch {
    // No Linux, or gone already.
  }
}
