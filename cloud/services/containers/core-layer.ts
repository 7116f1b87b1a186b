/**
 * The scoring core as a layer: this Node, our programs as few files, and of onnxruntime what this platform needs. Where
 * the programs look for each other is as in the agent's bundle (`.scripts/bundle-agent.mjs`).
 */
import { stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { build } from 'esbuild';
import { AppError, messageOf } from '#shared/kernel/errors.js';
import type { TarEntry } from '#shared/package/write-tar.js';
import { isRuntimeFile, onnxruntimePackages } from '#shared/platform/installation/onnxruntime-files.js';
import { builtProgram } from '#cloud/lifecycle/built-program.js';
import { folderEntries, plainMode } from './folder-entries.js';
import { type Layer, layerOf } from './layer.js';

/** Everything of ours in an image lies there. */
export const imageFolder = 'flotilla';
export const paths = {
  node: `/${imageFolder}/node`,
  program: `/${imageFolder}/app/services/replica/main.js`,
  /** Where the machine's folder is mounted. */
  run: `/${imageFolder}/run`,
  module: `/${imageFolder}/module`,
} as const;

const programs = {
  'services/replica/main': 'services/replica/main.js',
  'scoring/host/main': '../shared/scoring/host/main.js',
  'scoring/worker/main': '../shared/scoring/worker/main.js',
  'scoring/script-host/main': '../shared/scoring/script-host/main.js',
  'scoring/provider-check/main': '../shared/scoring/provider-check/main.js',
};
const requireForCommonJs =
  "import { createRequire as flotillaCreateRequire } from 'node:module'; const require = flotillaCreateRequire(import.meta.url);";
const maxPackageBytes = 1024 ** 3;

/** @throws AppError `process.failed` where our own programs are not built */
export async function coreLayer(version: string): Promise<Layer> {
  const folders = ['', '/app', '/run', '/module'].map((path) => folder(`${imageFolder}${path}`));
  const about = JSON.stringify({ name: 'flotilla', version, type: 'module' });
  const entries: TarEntry[] = [
    ...folders,
    folder('tmp', 0o1777),
    {
      path: `${imageFolder}/node`,
      kind: 'file',
      mode: 0o755,
      from: process.execPath,
      size: (await stat(process.execPath)).size,
    },
    { path: `${imageFolder}/app/package.json`, kind: 'bytes', mode: 0o644, bytes: Buffer.from(about) },
    ...(await bundled()),
    ...(await onnxruntime()),
  ];
  return layerOf(entries);
}

async function bundled(): Promise<TarEntry[]> {
  const cloud = dirname(builtProgram('main.js'));
  const out = join(cloud, 'out');
  const options = {
    ...({ bundle: true, write: false, splitting: true, platform: 'node', format: 'esm', target: 'node20.19' } as const),
    ...({ minifyWhitespace: true, minifySyntax: true, legalComments: 'linked', logLevel: 'silent' } as const),
    ...{ external: ['onnxruntime-node'], banner: { js: requireForCommonJs }, chunkNames: 'part-[hash]' },
    // One above the build must not change the result.
    tsconfigRaw: {},
  };
  try {
    const bundles = await Promise.all(
      Object.entries(programs).map(([name, program]) =>
        build({
          ...options,
          absWorkingDir: cloud,
          entryPoints: [{ in: join(cloud, program), out: 'main' }],
          outdir: join(out, dirname(name)),
        }),
      ),
    );
    return bundles.flatMap(({ outputFiles }) =>
      outputFiles.map(({ path, contents }): TarEntry => {
        const at = `${imageFolder}/app/${relative(out, path)}`;
        return { path: at, kind: 'bytes', mode: 0o644, bytes: contents };
      }),
    );
  } catch (error) {
    throw new AppError(
      'process.failed',
      `the programs of a replica cannot be put together: ${messageOf(error)}; build first`,
      { cause: error },
    );
  }
}

async function onnxruntime(): Promise<TarEntry[]> {
  const require = createRequire(import.meta.url);
  const node = dirname(dirname(require.resolve('onnxruntime-node')));
  const platform = { os: process.platform, cpu: process.arch };
  const packages = onnxruntimePackages.map(async (name) => {
    const root = name === 'onnxruntime-node' ? node : join(dirname(node), name);
    const takes = (path: string): boolean => isFolderOfRuntime(path) || isRuntimeFile(name, path, platform);
    const prefix = `${imageFolder}/app/node_modules/${name}`;
    const entries = await folderEntries(root, { prefix, modeOf: plainMode, takes, maxBytes: maxPackageBytes });
    return entries.filter(({ kind }) => kind === 'file');
  });
  return (await Promise.all(packages)).flat();
}

/** What may lie above a file that is taken. */
function isFolderOfRuntime(path: string): boolean {
  return !/\.[a-z0-9]+$/i.test(path);
}

function folder(path: string, mode = 0o755): TarEntry {
  return { path, kind: 'folder', mode };
}
