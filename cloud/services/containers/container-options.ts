/** How a replica's container is made: with nothing that scoring does not need. Pure. */
import { linkFolder } from '../replica/link.js';
import type { Labels } from './engine.js';
import { replicaUser } from './replica-image.js';

export interface ContainerLimits {
  /** Absent: as much as the machine has. */
  readonly memoryBytes?: number | undefined;
  /** Cores, in parts too; absent: all. */
  readonly cpus?: number | undefined;
  readonly processes: number;
  /** Of /tmp, which is memory. */
  readonly scratchBytes: number;
}

export interface ContainerOptions {
  readonly image: string;
  /** Of this machine, for the replica's sockets. */
  readonly folder: string;
  readonly labels: Labels;
  readonly limits: ContainerLimits;
}

/** What an engine keeps of the output of one container. */
const logConfig = { Type: 'json-file', Config: { 'max-size': '1m', 'max-file': '2' } };

/** The body of `POST /containers/create`. */
export function containerBody({ image, folder, labels, limits }: ContainerOptions): object {
  const { memoryBytes, cpus, processes, scratchBytes } = limits;
  return {
    Image: image,
    User: replicaUser,
    Hostname: 'replica',
    NetworkDisabled: true,
    Tty: false,
    OpenStdin: false,
    Labels: { ...labels },
    HostConfig: {
      NetworkMode: 'none',
      ReadonlyRootfs: true,
      CapDrop: ['ALL'],
      SecurityOpt: ['no-new-privileges'],
      Privileged: false,
      IpcMode: 'private',
      PidsLimit: processes,
      // Without swap, so that a limit is one.
      ...(memoryBytes === undefined ? {} : { Memory: memoryBytes, MemorySwap: memoryBytes }),
      ...(cpus === undefined ? {} : { NanoCpus: Math.round(cpus * 1e9) }),
      Tmpfs: { '/tmp': `rw,nosuid,nodev,noexec,size=${String(scratchBytes)},mode=1777` },
      Binds: [`${folder}:${linkFolder}:rw`],
      LogConfig: logConfig,
      RestartPolicy: { Name: 'no' },
      AutoRemove: false,
    },
  };
}
