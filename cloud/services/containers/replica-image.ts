/**
 * The image of a replica: base, scoring core, module. Composed here, layer by layer, in the form of `docker save`, which
 * Docker Engine and podman both load; nothing is run to build it. The same parts give the same image.
 */
import { digestOf } from '#shared/package/digest.js';
import { type TarEntry, tarSize, writeTar } from '#shared/package/write-tar.js';
import { canonicalJson } from '#shared/protocol/canonical-json.js';
import type { Digest } from '#shared/protocol/primitives.js';
import { paths } from './core-layer.js';
import type { Layer } from './layer.js';
import { architecture } from './platform.js';

export interface ReplicaImage {
  /** In order: what stands on what. */
  readonly layers: readonly { readonly what: string; readonly layer: Layer }[];
  readonly env: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  /** `repository:tag`. */
  readonly tag: string;
}

/** Of a process without the rights of root. */
export const replicaUser = '65532:65532';
const everyTime = '1970-01-01T00:00:00Z';

/** @returns the digest of its configuration, by which engines know it, and its archive */
export function archiveOf({ layers, env, labels, tag }: ReplicaImage): {
  readonly id: Digest;
  readonly size: number;
  readonly open: () => AsyncIterable<Uint8Array>;
} {
  const config = Buffer.from(
    canonicalJson({
      architecture,
      os: 'linux',
      created: everyTime,
      config: {
        User: replicaUser,
        Env: [...env, 'ORT_DISABLE_TELEMETRY=1'],
        Entrypoint: [paths.node, paths.program],
        WorkingDir: '/',
        StopSignal: 'SIGTERM',
        Labels: { ...labels },
      },
      rootfs: { type: 'layers', diff_ids: layers.map(({ layer }) => layer.digest) },
      history: layers.map(({ what }) => ({ created: everyTime, created_by: `flotilla: ${what}` })),
    }),
  );
  const id = digestOf(config);
  const fileOf = ({ digest }: Layer): string => `${hex(digest)}.tar`;
  const manifest = [{ Config: `${hex(id)}.json`, RepoTags: [tag], Layers: layers.map(({ layer }) => fileOf(layer)) }];
  const files = new Map<string, TarEntry>();
  const add = (entry: TarEntry): void => void files.set(entry.path, entry);
  for (const { layer } of layers) {
    // A layer that stands there twice is one file.
    add({ path: fileOf(layer), kind: 'stream', mode: 0o644, size: layer.size, open: () => layer.open() });
  }
  add({ path: `${hex(id)}.json`, kind: 'bytes', mode: 0o644, bytes: config });
  add({ path: 'manifest.json', kind: 'bytes', mode: 0o644, bytes: Buffer.from(JSON.stringify(manifest)) });
  const entries = [...files.values()];
  return { id, size: tarSize(entries), open: () => writeTar(entries) };
}

function hex(digest: Digest): string {
  return digest.slice('sha256:'.length);
}
