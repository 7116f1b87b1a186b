// The control plane and the command line for one platform: Node, the build, and the packages it uses.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { cloudProduct, cloudUnit } from '#cloud/installation/cloud-product.js';
import { serviceHostCommand, servicesUnits } from '#cloud/installation/services-units.js';
import { programFolder } from '#shared/platform/installation/product.js';
import { addFile, addFolder, addText, type FileSet } from './file-set.js';
import { type LockedPackage, productionPackages } from './locked-packages.js';
import { noticesOf } from './notices.js';
import type { Platform, RegistryPackage } from './platforms.js';
import { addInstallers, launcher, sealRelease } from './release.js';

/** What no program reads; licences are in the notices. */
const notForRunning =
  /\.(map|md|markdown|ts|cts|mts|tsx|flow|tsbuildinfo|cc|c|h|gyp|gypi)$|(^|\/)(tests?|__tests__|benchmarks?|\.github)\//i;

/** @param fetch gives the folder of a package that npm did not install here, being for another platform */
export async function cloudRelease(
  root: string,
  version: string,
  platform: Platform,
  fetch: (wanted: RegistryPackage) => Promise<string>,
): Promise<FileSet> {
  const files: FileSet = new Map();
  const node = await fetch(platform.node);
  addText(files, 'bin/flotilla', launcher('app/dist/cloud/cli/main.js'), true);
  addText(files, serviceHostCommand, launcher('app/dist/cloud/services/host/main.js'), true);
  addFile(files, 'runtime/node', join(node, 'bin/node'), true);
  const { name, type, license, imports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Record<
    string,
    unknown
  >;
  addText(files, 'app/package.json', `${JSON.stringify({ name, version, type, license, imports }, null, 2)}\n`);
  // Of the agent, what simulated devices are made of.
  for (const part of ['cloud', 'shared', 'agent']) {
    // The compiler leaves what it made of sources that are gone.
    const hasSource = (file: string): boolean => existsSync(join(root, part, file.replace(/\.js$/, '.ts')));
    addFolder(files, `app/dist/${part}`, join(root, 'dist', part), (file) => file.endsWith('.js') && hasSource(file));
  }
  const packages = productionPackages(readFileSync(join(root, 'package-lock.json'), 'utf8'), platform);
  const sources = [{ folder: node }];
  for (const one of packages) {
    const folder = await folderOf(root, one, fetch);
    sources.push({ folder });
    addFolder(files, `app/${one.path}`, folder, (file) => goesAlong(one.path, file, platform));
  }
  addText(files, 'THIRD-PARTY-NOTICES.txt', noticesOf(sources));
  addFile(files, 'LICENSE', join(root, 'LICENSE'));
  const programs = `${programFolder(cloudProduct)}/current`;
  addText(files, 'flotilla.service', cloudUnit(`${programs}/bin/flotilla`));
  for (const { name: unit, text } of servicesUnits(programs)) addText(files, unit, text);
  addText(files, 'README.txt', readme(version, platform));
  addInstallers(files, 'flotilla', 'cloud ');
  sealRelease(files, { name: 'flotilla', version, platform: platform.name, node: platform.node.version });
  return files;
}

async function folderOf(
  root: string,
  { path, name, version, integrity }: LockedPackage,
  fetch: (wanted: RegistryPackage) => Promise<string>,
): Promise<string> {
  const installed = join(root, path);
  return existsSync(installed) ? installed : fetch({ name, version, integrity });
}

/** Packages in a package stand in the lock file themselves. Binaries of other platforms stay behind. */
function goesAlong(path: string, file: string, { os, cpu }: Platform): boolean {
  if (file.startsWith('node_modules/') || notForRunning.test(file)) return false;
  // Its install puts this machine's program there, beside the package that brings it for each platform.
  if (path === 'node_modules/esbuild' && file.startsWith('bin/')) return false;
  return !/^bin\/napi-v\d+\//.test(file) || new RegExp(`^bin/napi-v\\d+/${os}/${cpu}/`).test(file);
}

function readme(version: string, { name }: Platform): string {
  return `The Flotilla control plane and command line ${version} for ${name}. They need Linux with glibc 2.28 or later, and nothing
of Node or npm.

  sudo ./install.sh               # a service; --print shows what would be done, --root DIR installs into an image
  journalctl -u flotilla          # its addresses, and how to log in

Or without installing: bin/flotilla --help. sha256sum -c SHA256SUMS checks what was unpacked.
Licences: LICENSE, THIRD-PARTY-NOTICES.txt.
`;
}
