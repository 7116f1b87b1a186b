// `npm run build:device` and `npm run build:cloud`: archives that run on a machine without Node, into dist/installables.
import { readFileSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { createHash } from 'node:crypto';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { fileURLToPath } from 'node:url';
import { cloudRelease } from './cloud-release.js';
import { writeDebianPackage } from './debian-package.js';
import { deviceRelease } from './device-release.js';
import { type FileSet, sizes } from './file-set.js';
import { type Platform, platforms, type RegistryPackage } from './platforms.js';
import { registryPackage } from './registry-package.js';
import { writeTarGz } from './tar-gz.js';

const root = repositoryAbove(dirname(fileURLToPath(import.meta.url)));
const out = join(root, 'dist/installables');
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
const fetch = (wanted: RegistryPackage): Promise<string> => registryPackage(wanted, join(root, '.cache/packages'));

const usage = `Usage: npm run build:device -- [options]     the agent
       npm run build:cloud -- [options]      the control plane and the command line

  --platform <name>     only this one; may be repeated: ${platforms.map(({ name }) => name).join(', ')}
  --deb                 a Debian package of the agent as well
  --maintainer <who>    for its control file, "Name <address>" (default: Flotilla <flotilla@localhost>)

Example: npm run build:device -- --platform linux-arm64 --deb`;

async function main(): Promise<number> {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: {
      platform: { type: 'string', multiple: true },
      deb: { type: 'boolean', default: false },
      maintainer: { type: 'string', default: 'Flotilla <flotilla@localhost>' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  const [what] = positionals;
  if (values.help) {
    console.log(usage);
    return 0;
  }
  const unknown = values.platform?.find((name) => !platforms.some((platform) => platform.name === name));
  if ((what !== 'device' && what !== 'cloud') || unknown !== undefined || (values.deb && what === 'cloud')) {
    console.error(`${unknown === undefined ? '' : `There is no platform ${unknown}.\n`}${usage}`);
    return 2;
  }
  await mkdir(out, { recursive: true });
  for (const platform of platforms.filter(({ name }) => values.platform?.includes(name) ?? true)) {
    const files =
      what === 'device'
        ? deviceRelease(root, version, platform, await fetch(platform.node))
        : await cloudRelease(root, version, platform, fetch);
    await pack(what === 'device' ? 'flotilla-agent' : 'flotilla', platform, files);
    if (values.deb) await packDebian(platform, files, values.maintainer);
  }
  return 0;
}

async function pack(name: string, platform: Platform, files: FileSet): Promise<void> {
  const folder = `${name}-${version}-${platform.name}`;
  const target = join(out, `${folder}.tar.gz`);
  const entries = [...files].map(([path, { bytes, executable }]) => ({
    path: `${folder}/${path}`,
    mode: executable ? 0o755 : 0o644,
    bytes,
  }));
  const { sha256, size } = await writeTarGz(entries, target);
  const parts = sizes(files, partOf);
  const total = parts.reduce((sum, [, bytes]) => sum + bytes, 0);
  const rows = [...parts.slice(0, 8), ['in all, unpacked', total] as const, ['packed', size] as const];
  console.log(`${basename(target)}  sha256:${sha256}`);
  for (const [part, bytes] of rows) console.log(`  ${(bytes / 1e6).toFixed(1).padStart(7)} MB  ${part}`);
}

async function packDebian(platform: Platform, files: FileSet, maintainer: string): Promise<void> {
  const target = join(out, `flotilla-agent_${version}_${platform.debian}.deb`);
  const work = await mkdtemp(join(tmpdir(), 'flotilla-deb-'));
  try {
    await writeDebianPackage({ version, platform, maintainer, files }, target, work);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  const bytes = await readFile(target);
  console.log(`${basename(target)}  sha256:${createHash('sha256').update(bytes).digest('hex')}`);
  console.log(`  ${(bytes.length / 1e6).toFixed(1).padStart(7)} MB`);
}

/** The row of the table that a file counts to. */
function partOf(path: string): string {
  const [, inside] = /^app\/node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path) ?? [];
  if (inside !== undefined) return /onnxruntime-node|libsql|esbuild|swagger/.test(inside) ? inside : 'other packages';
  return path.startsWith('app/') ? 'our programs' : path.startsWith('runtime/') ? 'Node' : 'licences and the like';
}

function repositoryAbove(folder: string): string {
  const isIt = (path: string): boolean => {
    try {
      return readFileSync(join(path, 'package-lock.json')).length > 0;
    } catch {
      return false;
    }
  };
  return isIt(folder) || folder === dirname(folder) ? folder : repositoryAbove(dirname(folder));
}

process.exitCode = await main();
