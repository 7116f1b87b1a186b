/**
 * Bundles a scoring script with its dependencies into one ESM file: what runs on the device is what
 * was signed. The bytes depend on the files of the module's folder alone: everything bundled must
 * lie in that folder, no configuration beside it is read, and no path outside it can appear.
 */
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { build, type BuildResult, type Metafile, type Plugin } from 'esbuild';
import { AppError, messageOf } from '#shared/kernel/errors.js';

const maxScriptBytes = 64 * 1024 * 1024;

/** Packages whose business is to load machine code at run time. */
const addonLoader =
  /(^|\/)node_modules\/(bindings|node-gyp-build|node-gyp-build-optional-packages|node-pre-gyp|@mapbox\/node-pre-gyp|onnxruntime-node)\//;

/** Dependencies in CommonJS ask for Node's own modules by `require`, which an ESM file does not have. */
const requireForCommonJs =
  "import { createRequire as createScriptRequire } from 'node:module';\nconst require = createScriptRequire(import.meta.url);";

/**
 * @param folder absolute and without symbolic links
 * @throws AppError `module.invalid`
 */
export async function bundleScript(folder: string, entry: string): Promise<Uint8Array> {
  const result = await run(folder, entry);
  await checkInputs(result.metafile, folder);
  const [output] = Object.values(result.metafile.outputs);
  const [file] = result.outputFiles;
  if (output === undefined || file === undefined) throw new Error('esbuild made no output');
  if (!output.exports.includes('run')) {
    throw invalid(`${entry} exports ${output.exports.join(', ') || 'nothing'}; it must export run(input, context)`);
  }
  if (file.contents.length > maxScriptBytes) {
    throw invalid(
      `the bundle of ${entry} has ${String(file.contents.length)} bytes, at most ${String(maxScriptBytes)}`,
    );
  }
  return file.contents;
}

async function run(
  folder: string,
  entry: string,
): Promise<BuildResult<{ write: false; metafile: true; entryPoints: string[] }>> {
  try {
    return await build({
      absWorkingDir: folder,
      entryPoints: [entry],
      outfile: 'script.mjs',
      write: false,
      metafile: true,
      bundle: true,
      platform: 'node',
      format: 'esm',
      target: 'node20.19',
      charset: 'utf8',
      minify: false,
      sourcemap: false,
      legalComments: 'inline',
      logLevel: 'silent',
      // A tsconfig.json above the folder must not change the result.
      tsconfigRaw: {},
      nodePaths: [],
      banner: { js: requireForCommonJs },
      plugins: [refuseAddons],
    });
  } catch (error) {
    throw invalid(`${entry} cannot be bundled: ${describe(error)}`);
  }
}

const refuseAddons: Plugin = {
  name: 'refuse-native-addons',
  setup({ onResolve }) {
    onResolve({ filter: /\.node$/ }, ({ path }) => ({
      errors: [{ text: `the native addon ${path} cannot be part of a script; use a package without machine code` }],
    }));
    onResolve({ filter: /^onnxruntime-node(\/|$)/ }, () => ({
      errors: [{ text: 'onnxruntime-node cannot be part of a script; call the models by context.models' }],
    }));
  },
};

async function checkInputs(metafile: Metafile, folder: string): Promise<void> {
  const inputs = Object.entries(metafile.inputs);
  for (const [path] of inputs) {
    if (path.startsWith('..') || path.startsWith('/') || /^[A-Za-z]:/.test(path)) {
      throw invalid(
        `the script imports a file outside the module's folder (${path.split('/').slice(-2).join('/')}); install its dependencies in the folder itself`,
      );
    }
    if (addonLoader.test(path)) {
      throw invalid(`the script depends on a native addon (by ${path}); use a package without machine code`);
    }
  }
  // How a CommonJS file is imported depends on the nearest package.json, wherever that is.
  if (inputs.some(([, input]) => input.format === 'cjs') && !(await exists(join(folder, 'package.json')))) {
    throw invalid("the script has CommonJS files; give the module's folder a package.json");
  }
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/** The first complaint of esbuild, with its place relative to the folder. */
function describe(error: unknown): string {
  const first = firstMessage(error);
  if (first === undefined) return messageOf(error);
  const { text, location } = first;
  return location ? `${location.file}:${String(location.line)}: ${text}` : text;
}

function firstMessage(error: unknown): { text: string; location: { file: string; line: number } | null } | undefined {
  if (!(error instanceof Error) || !('errors' in error) || !Array.isArray(error.errors)) return undefined;
  return (error.errors as { text: string; location: { file: string; line: number } | null }[])[0];
}

function invalid(message: string): AppError {
  return new AppError('module.invalid', message);
}
