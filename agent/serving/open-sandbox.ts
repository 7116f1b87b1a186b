/** The bounds of what runs on this device. */
import { mkdir, rm } from 'node:fs/promises';
import { availableParallelism, totalmem } from 'node:os';
import { join } from 'node:path';
import { createHash } from 'node:crypto';
import type { SandboxCapabilities } from '#shared/protocol/sandbox.js';
import type { Confinement } from '#shared/supervisor/sandbox/confinement.js';
import { confineOurs, type SandboxParts } from '#shared/supervisor/sandbox/own-bounds.js';
import { findSandboxParts, probeSandbox } from '#shared/supervisor/sandbox/probe-sandbox.js';
import { Sandbox } from '#shared/supervisor/sandbox/sandbox.js';
import type { AgentConfig } from '#agent/config.js';
import { makeRunFolder, type StateFolder } from '#agent/store/state-folder.js';

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
export class DeviceSandbox {
  private opening: Promise<OpenedSandbox> | undefined;
  private opened: OpenedSandbox | undefined;
  private hosts = 0;

  private constructor(
    private readonly parts: SandboxParts,
    private readonly open: () => Promise<OpenedSandbox>,
  ) {}

  /** @param entry the program that runs user code */
  static async of(config: AgentConfig, folder: StateFolder, entry: string): Promise<DeviceSandbox> {
    // The same after a restart, and another agent's is another.
    const owner = `flotilla-${createHash('sha256').update(folder.root).digest('hex').slice(0, 12)}`;
    const parts = await findSandboxParts(owner);
    return new DeviceSandbox(parts, () => openSandbox(config, folder, entry, owner, parts));
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

async function openSandbox(
  config: AgentConfig,
  folder: StateFolder,
  entry: string,
  owner: string,
  parts: SandboxParts,
): Promise<OpenedSandbox> {
  const inside = await makeRunFolder(folder, 'inside');
  const secrets = [folder.root];
  const isRoot = process.getuid?.() === 0;
  const machine = await probeSandbox(parts, { scratch: join(inside, 'views'), entry, secrets, isRoot });
  const { user, mounts } = machine.capabilities;
  // A user of its own cannot look into the state folder; without a view of its own it must reach its sockets elsewhere.
  const runFolder = user.enforced && !mounts.enforced ? await makeRunFolder(folder, 'outside') : inside;
  const scratch = join(runFolder, 'views');
  await mkdir(scratch, { recursive: true });
  const policy = {
    allowNetwork: config.modules.allowNetwork,
    maxMemoryBytes: config.modules.maxMemoryBytes ?? Math.floor(totalmem() / 2),
    maxCpus: config.modules.maxCpus ?? availableParallelism(),
    require: config.modules.require,
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
