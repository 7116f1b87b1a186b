/**
 * What a start does before all else, and with little to load: the folder and its lock, the bounds of hosts, and the
 * scoring host, which loads its program while the rest of the agent is loaded.
 */
import { dirname } from 'node:path';
import { AppError, messageOf } from '#shared/kernel/errors.js';
import { EarlyHost } from '#shared/supervisor/early-host.js';
import type { HostEntries } from '#shared/supervisor/host-entries.js';
import type { AgentConfig } from '#agent/config.js';
import { KeptTrust } from '#agent/identity/device-trust.js';
import { type Identity, identityDocument } from '#agent/identity/identity.js';
import { refuseOpenFolder } from '#agent/local/folder-safety.js';
import { localSocketOf } from '#agent/local/local-socket.js';
import { groupId } from '#agent/local/socket-group.js';
import { programFiles } from '#agent/program-files.js';
import { hostEnvironmentOf } from '#agent/providers/host-environment.js';
import type { MachineSandbox } from '#shared/supervisor/sandbox/machine-sandbox.js';
import { deviceSandbox } from '#agent/serving/open-sandbox.js';
import { inRoomOf } from '#agent/store/ballast.js';
import { prepareStateFolder, type StateFolder, stateFolder } from '#agent/store/state-folder.js';
import { type StateLock, takeStateLock } from '#agent/store/state-lock.js';

export interface EarlyStart {
  readonly folder: StateFolder;
  readonly identity: Identity;
  readonly trust: KeptTrust;
  /** Where the agent is asked from this machine, and by which group; undefined: by its own user. */
  readonly socket: string;
  readonly group: number | undefined;
  readonly lock: StateLock;
  readonly entries: HostEntries;
  readonly sandbox: MachineSandbox;
  readonly earlyHost: EarlyHost;
  /** Holds what of the above must be given back. */
  readonly undo: Undo;
}

/** What must be undone, newest first. */
export class Undo {
  private readonly steps: (() => Promise<void> | void)[] = [];

  add(step: () => Promise<void> | void): void {
    this.steps.push(step);
  }

  async all(): Promise<void> {
    for (let step = this.steps.pop(); step !== undefined; step = this.steps.pop()) await step();
  }
}

/** @throws AppError `auth.missing` on a machine that is not enrolled; what else forbids a start */
export async function startEarly(config: AgentConfig): Promise<EarlyStart> {
  const undo = new Undo();
  try {
    return await start(config, undo);
  } catch (error) {
    await undo.all();
    throw error;
  }
}

async function start(config: AgentConfig, undo: Undo): Promise<EarlyStart> {
  const folder = stateFolder(config.stateDir);
  const { identity, trust } = await readIdentity(folder);
  await prepareStateFolder(folder);
  const socket = localSocketOf(config);
  for (const place of new Set([folder.root, dirname(socket)])) await refuseOpenFolder(place);
  const { socketGroup } = config.local;
  const group = socketGroup === undefined ? undefined : await groupId(socketGroup);
  const lock = await inRoomOf(folder.ballast, () => takeStateLock(folder.lock));
  undo.add(() => lock.release());
  const entries = programFiles();
  const sandbox = await deviceSandbox(config, folder, entries.scriptHost);
  undo.add(() => sandbox.close());
  const earlyHost = new EarlyHost({
    entry: entries.scoringHost,
    env: hostEnvironmentOf(config),
    confinement: sandbox.confineHost(),
  });
  undo.add(() => earlyHost.close());
  return { folder, identity, trust, socket, group, lock, entries, sandbox, earlyHost, undo };
}

async function readIdentity(folder: StateFolder): Promise<{ identity: Identity; trust: KeptTrust }> {
  const unreadable = (error: unknown): never => {
    throw new AppError(
      'state.corrupt',
      `this device's identity cannot be read (${messageOf(error)}): get a token with "flotilla device replace", and enrol it anew with "flotilla-agent enroll --replace"`,
      { cause: error },
    );
  };
  const identity = await identityDocument(folder.identity).read().catch(unreadable);
  if (identity === undefined) {
    throw new AppError(
      'auth.missing',
      `this machine is not enrolled (there is no ${folder.identity}): get a token with "flotilla device token", then "flotilla-agent enroll --token … --name …"`,
    );
  }
  const trust = await KeptTrust.open(folder.trust).catch(unreadable);
  return { identity: identity.value, trust: trust ?? unreadable(new Error(`there is no ${folder.trust}`)) };
}
