// The agent as few files: its program, and those of the hosts that it starts. What has native parts
// stays outside and is found in node_modules.
import { existsSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const out = join(root, 'dist', 'agent-bundle');

// Names and depths that the programs look for each other by; see shared/supervisor/host-entries.ts. What a
// program imports when it first needs it becomes files beside it, so that a start does not read what it can do without.
const entries = {
  'flotilla-agent': 'dist/agent/cli/main.js',
  'scoring/host/main': 'dist/shared/scoring/host/main.js',
  'scoring/worker/main': 'dist/shared/scoring/worker/main.js',
  'scoring/script-host/main': 'dist/shared/scoring/script-host/main.js',
  'scoring/provider-check/main': 'dist/shared/scoring/provider-check/main.js',
  'route-codec/main': 'dist/agent/routes/codec/main.js',
};
const missing = Object.values(entries).filter((path) => !existsSync(join(root, path)));
if (missing.length > 0) {
  console.error(`Cannot bundle the agent: ${missing.join(', ')} is not built; run npm run build.`);
  process.exit(1);
}

await rm(out, { recursive: true, force: true });
const bundle = (name, path) =>
  build({
    absWorkingDir: root,
    entryPoints: [{ in: path, out: basename(name) }],
    outdir: join(out, dirname(name)),
    bundle: true,
    splitting: true,
    chunkNames: 'part-[hash]',
    // Less to read at each start; names stay, so that a stack tells where it was.
    minifyWhitespace: true,
    minifySyntax: true,
    platform: 'node',
    target: 'node20.19',
    format: 'esm',
    sourcemap: 'linked',
    legalComments: 'linked',
    metafile: true,
    logLevel: 'warning',
    external: ['onnxruntime-node', 'libsql', 'esbuild'],
    // Packages in CommonJS ask for Node's own modules by require, which ESM lacks.
    banner: {
      js: "import { createRequire as flotillaCreateRequire } from 'node:module'; const require = flotillaCreateRequire(import.meta.url);",
    },
  });
const bundles = await Promise.all(Object.entries(entries).map(([name, path]) => bundle(name, path)));

// Whose code went in, by its folder: for the notices of the archive (.scripts/installables).
const folders = bundles
  .flatMap(({ metafile }) => Object.keys(metafile.inputs))
  .flatMap((path) => {
    const [folder] = /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path) ?? [];
    return folder === undefined ? [] : [folder];
  });
await writeFile(
  join(root, 'dist', 'agent-bundle-packages.json'),
  `${JSON.stringify([...new Set(folders)].sort(), null, 2)}\n`,
);
