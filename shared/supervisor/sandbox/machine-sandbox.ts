/** The bounds of what one program starts on this machine: of hosts of ours at once, of user code once it was tried. */
import { createHash } from 'node:crypto';
import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import type { SandboxAspect, SandboxCapabilities } from '#shared/protocol/sandbox.js';
import type { Confinement } from './confinement.js';
import { confineOurs, type SandboxParts } from './own-bounds.js';
import { findSandboxParts, probeSandbox } from './probe-sandbox.js';
import { Sandbox } from './sandbox.js';

/** What the owner of the machine grants to user code, as settings say it. */
export interface SandboxGrant {
  readonly allowNetwork: boolean;
  /** Absent: half of the machine's. */
  readonly maxMemoryBytes?: number | undefined;
  /** Absent: all cores. */
  readonly maxCpus?: number | undefined;
  readonly require: readonly SandboxAspect[];
}

export interface SandboxSite {
  /** Folder of the program that opens it: the same after a restart, and that of another program is another. */
  readonly root: string;
  /** The program that runs user code. */
  readonly entry: string;
  readonly grant: SandboxGrant;
  /** Folders that user code never sees. */
  readonly secrets: readonly string[];
  /**
   * A folder for the sockets of hosts, with a short path.
   *
   * @param where `outside`: other users may pass through it, where they know the way
   */
  runFolder(where: 'inside' | 'outside'): Promise<string>;
}

export interface OpenedSandbox {
  readonly sandbox: Sandbox;
  readonly capabilities: SandboxCapabilities;
  /** For the sockets of hosts. */
  readonly runFolder: string;
  close(): Promise<void>;
}

/**
 * What hosts of ours need of it is there at once. The bounds of user code are tried out when they are first asked
 * for: modules without such code answer before.
 */
export class MachineSandbox {
  private opening: Promise<OpenedSandbox> | undefined;
  private opened: OpenedSandbox | undefined;
  private hosts = 0;

  private constructor(
    private readonly parts: SandboxParts,
    private readonly open: () => Promise<OpenedSandbox>,
  ) {}

  static async of(site: SandboxSite): Promise<MachineSandbox> {
    const owner = `flotilla-${createHash('sha256').update(site.root).digest('hex').slice(0, 12)}`;
    const parts = await findSandboxParts(owner);
    return new MachineSandbox(parts, () => openSandbox(site, owner, parts));
  }

  /** For a scoring host, which runs no user code. */
  confineHost(): Confinement {
    this.hosts += 1;
    return confineOurs(this.parts, String(this.hosts));
  }

  /** Resolves once all is tried out. */
  async ready(): Promise<void> {
    this.opening ??= this.open();
    this.opened = await this.opening;
  }

  /** @throws before it is {@link ready}: user code never runs without its bounds */
  get tried(): OpenedSandbox {
    if (this.opened === undefined) throw new Error('the sandbox is not tried out yet');
    return this.opened;
  }

  /** Undefined before it is {@link ready}. */
  get capabilities(): SandboxCapabilities | undefined {
    return this.opened?.capabilities;
  }

  /** Once nothing runs in it any more. */
  async close(): Promise<void> {
    const opened = await this.opening?.catch(() => undefined);
    this.parts.cgroups?.close();
    if (opened !== undefined) await opened.close();
  }
}

async function openSandbox(site: SandboxSite, owner: string, parts: SandboxParts): Promise<OpenedSandbox> {
  const { entry, secrets, grant } = site;
  const inside = await site.runFolder('inside');
  const isRoot = process.getuid?.() === 0;
  const machine = await probeSandbox(parts, { scratch: join(inside, 'views'), entry, secrets, isRoot });
  const { user, mounts } = machine.capabilities;
  // A user of its own cannot look into a folder of ours; without a view of its own it must reach its sockets elsewhere.
  const runFolder = user.enforced && !mounts.enforced ? await site.runFolder('outside') : inside;
  const scratch = join(runFolder, 'views');
  await mkdir(scratch, { recursive: true });
  const policy = {
    allowNetwork: grant.allowNetwork,
    maxMemoryBytes: grant.maxMemoryBytes ?? Math.floor(totalmem() / 2),
    maxCpus: grant.maxCpus ?? availableParallelism(),
    require: grant.require,
  };
  const sandbox = new Sandbox(machine, policy, { owner, scratch, secrets });
  return {
    sandbox,
    capabilities: machine.capabilities,
    runFolder,
    close: async () => {
      if (runFolder !== inside) await rm(runFolder, { recursive: true, force: true });
    },
  };
}

/** For what user code of another user must reach: who does not know its name cannot find what is in it. */
export async function passableFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'flotilla-run-'));
  await chmod(folder, 0o711);
  return folder;
}
