/** What a service host is started with: one private file, written by the control plane or by a person. */
import { readFile, stat } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import * as z from 'zod';
import { AppError } from '#shared/kernel/errors.js';
import { digestOf } from '#shared/package/digest.js';
import { diskError, errno } from '#shared/platform/atomic-file.js';
import { canonicalJson } from '#shared/protocol/canonical-json.js';
import { decodeMessage } from '#shared/protocol/decode.js';
import { nameSchema } from '#shared/protocol/primitives.js';
import { sandboxAspects } from '#shared/protocol/sandbox.js';
import { maxPublishers, signerKeySchema } from '#shared/protocol/trust.js';
import { socketFolderOf } from './socket-folder.js';

const pathSchema = z.string().min(1).refine(isAbsolute, 'must be an absolute path');

const mebibyte = 1024 ** 2;

/** What replicas run as. Of containers it says what each may have. */
export const runtimeSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('process') }),
  z.strictObject({
    kind: z.literal('container'),
    /** Of Docker Engine or podman on this machine; who may open it, may do everything here. */
    socket: pathSchema.default('/var/run/docker.sock'),
    /** What images of replicas stand on: a root file system with glibc and libstdc++, or an image that the engine has. */
    base: z.union([z.strictObject({ folder: pathSchema }), z.strictObject({ image: z.string().min(1).max(512) })]),
    /** Of one replica; absent: as much as there is. */
    memoryBytes: z
      .int()
      .min(64 * mebibyte)
      .optional(),
    /** Cores of one replica, in parts too; absent: all. */
    cpus: z.number().min(0.01).max(1024).optional(),
    /** Processes and threads of one replica. */
    processes: z.int().min(32).max(1_000_000).default(1024),
    /** Of /tmp in one replica, which is memory and counts to it. */
    scratchBytes: z
      .int()
      .min(mebibyte)
      .default(64 * mebibyte),
  }),
]);

export const hostConfigSchema = z.strictObject({
  /** Its own; nobody else works in it. */
  folder: pathSchema,
  /** Root of the control plane's blob store; only read. */
  blobs: pathSchema,
  front: z
    .strictObject({
      /** An IP address. */
      host: z.string().min(1).default('127.0.0.1'),
      /** 0 picks a free one. */
      port: z.int().min(0).max(65_535).default(8081),
      /** By which endpoints without keys may be asked, besides loopback's names and the address. */
      hostNames: z.array(z.string().min(1)).max(64).default([]),
      /** Absent: plain HTTP. */
      tls: z.strictObject({ certificateFile: pathSchema, privateKeyFile: pathSchema }).optional(),
    })
    .prefault({}),
  /** Whose images count in a workspace, whatever a control plane says of its first trust document. */
  publishers: z.record(nameSchema, z.array(signerKeySchema).min(1).max(maxPublishers)).default({}),
  /** What user code of modules may be granted. */
  modules: z
    .strictObject({
      allowNetwork: z.boolean().default(false),
      maxMemoryMegabytes: z.int().min(64).max(1_000_000).optional(),
      maxCpus: z.number().min(0.05).max(1024).optional(),
      require: z.array(z.enum(sandboxAspects)).default([]),
    })
    .prefault({}),
  runtime: runtimeSchema.default({ kind: 'process' }),
  maxBodyBytes: z
    .int()
    .min(1)
    .default(64 * 1024 * 1024),
  /** How long what is under way may take when a replica is replaced, or all end. */
  drainMs: z.int().min(0).max(600_000).default(30_000),
  logLevel: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']).default('info'),
});
export type HostConfig = z.infer<typeof hostConfigSchema>;
export type HostConfigInput = z.input<typeof hostConfigSchema>;

const maxConfigBytes = 1024 * 1024;

/** As long as its folder for sockets stays the same: ask anew each time. */
export function controlSocketOf({ folder }: Pick<HostConfig, 'folder'>): string {
  return join(socketFolderOf(folder), 'control.sock');
}

/** Where its control plane writes it. While it is there, somebody wants a service host: systemd goes by that. */
export function configFileOf({ folder }: Pick<HostConfig, 'folder'>): string {
  return join(folder, 'config.json');
}

/** Where its control plane lets it write. */
export function logFileOf({ folder }: Pick<HostConfig, 'folder'>): string {
  return join(folder, 'host.log');
}

/** @throws AppError `config.invalid` for a file that is not one, or that others may write */
export async function readHostConfig(path: string): Promise<HostConfig> {
  let bytes: Uint8Array;
  try {
    const { mode } = await stat(path);
    if ((mode & 0o022) !== 0) {
      throw new AppError('config.invalid', `${path} may be written by others: close it (chmod go-w ${path})`);
    }
    bytes = await readFile(path);
  } catch (error) {
    if (error instanceof AppError) throw error;
    if (errno(error) === 'ENOENT') throw new AppError('config.invalid', `there is no configuration ${path}`);
    throw diskError(error, `cannot read ${path}`);
  }
  const decoded = decodeMessage(hostConfigSchema, bytes, maxConfigBytes);
  if (decoded.ok) return decoded.value;
  throw new AppError('config.invalid', `${path}: ${decoded.error.message}`);
}

/** Two processes with the same are the same to who starts them. */
export function fingerprintOf(config: HostConfig): string {
  return digestOf(canonicalJson(config));
}
