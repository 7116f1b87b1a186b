/** The bounds of modules with user code on this device: tried out once at start. */
import { mkdir, rm } from 'node:fs/promises';
import { availableParallelism, totalmem } from 'node:os';
import { join } from 'node:path';
import { createHash } from 'node:crypto';
import type { SandboxCapabilities } from '#shared/protocol/sandbox.js';
import { probeSandbox } from '#shared/supervisor/sandbox/probe-sandbox.js';
import { Sandbox } from '#shared/supervisor/sandbox/sandbox.js';
import type { AgentConfig } from '#agent/config.js';
import { makeRunFolder, type StateFolder } from '#agent/store/state-folder.js';

export interface OpenedSandbox {
  readonly sandbox: Sandbox;
  readonly capabilities: SandboxCapabilities;
  /** For the sockets of hosts. */
  readonly runFolder: string;
  /** Once nothing runs in it any more. */
  close(): Promise<void>;
}

/** @param entry the program that runs user code */
export async function openSandbox(config: AgentConfig, folder: StateFolder, entry: string): Promise<OpenedSandbox> {
  const inside = await makeRunFolder(folder, 'inside');
  const owner = `flotilla-${createHash('sha256').update(folder.root).digest('hex').slice(0, 12)}`;
  const secrets = [folder.root];
  const isRoot = process.getuid?.() === 0;
  const machine = await probeSandbox({ owner, scratch: join(inside, 'views'), entry, secrets, isRoot });
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
      sandbox.close();
      if (runFolder !== inside) await rm(runFolder, { recursive: true, force: true });
    },
  };
}
