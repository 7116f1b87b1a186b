// The agent as a Debian package, written without Debian's tools: the same files, below /usr/lib.
import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { agentProduct, agentUnit } from '#agent/installation/agent-product.js';
import { settingsPath } from '#shared/platform/installation/product.js';
import { arFile } from './ar-file.js';
import { postinst, postrm, preinst, prerm } from './debian-scripts.js';
import type { FileSet } from './file-set.js';
import type { Platform } from './platforms.js';
import { type TarEntry, writeTarGz } from './tar-gz.js';

const programs = '/usr/lib/flotilla-agent';
const documents = '/usr/share/doc/flotilla-agent';

/** Of the archive, what a package needs not: it has installers, and a list of digests, of its own. */
const left = new Set([
  'install.sh',
  'uninstall.sh',
  'README.txt',
  'LICENSE',
  'THIRD-PARTY-NOTICES.txt',
  'flotilla-agent.service',
]);

export interface DebianInput {
  readonly version: string;
  readonly platform: Platform;
  readonly maintainer: string;
  /** Files of the archive. */
  readonly files: FileSet;
}

/** @param work a folder for what is made on the way */
export async function writeDebianPackage(input: DebianInput, target: string, work: string): Promise<void> {
  const data = dataEntries(input);
  await writeTarGz(withFolders(data), join(work, 'data.tar.gz'));
  await writeTarGz(withFolders(controlEntries(input, data)), join(work, 'control.tar.gz'));
  const member = async (name: string): Promise<{ name: string; bytes: Buffer }> => ({
    name,
    bytes: await readFile(join(work, name)),
  });
  const version = { name: 'debian-binary', bytes: Buffer.from('2.0\n') };
  await writeFile(target, arFile([version, await member('control.tar.gz'), await member('data.tar.gz')]));
}

type FileEntry = Extract<TarEntry, { bytes: unknown }>;

function dataEntries({ version, files }: DebianInput): TarEntry[] {
  const text = (path: string, content: string, mode = 0o644): FileEntry => ({
    path,
    mode,
    bytes: () => Buffer.from(content),
  });
  const of = (path: string): string => files.get(path)?.bytes().toString('utf8') ?? '';
  const changes = `flotilla-agent (${version}) stable; urgency=medium\n\n  * See CHANGELOG.md of the project.\n\n -- Flotilla <flotilla@localhost>  Sat, 26 Oct 1985 08:15:00 +0000\n`;
  return [
    ...[...files]
      .filter(([path]) => !left.has(path))
      .map(([path, { bytes, executable }]) => ({
        path: `${programs}/${path}`,
        mode: executable ? 0o755 : 0o644,
        bytes,
      })),
    { path: '/usr/bin/flotilla-agent', linkTo: '../lib/flotilla-agent/bin/flotilla-agent' },
    text('/usr/lib/systemd/system/flotilla-agent.service', agentUnit('/usr/bin/flotilla-agent')),
    text(settingsPath(agentProduct), agentProduct.settings.text, 0o640),
    text(`${documents}/copyright`, `${of('LICENSE')}\n${of('THIRD-PARTY-NOTICES.txt')}`),
    { path: `${documents}/changelog.gz`, mode: 0o644, bytes: () => gzipSync(changes, { level: 9 }) },
  ].map((entry) => ({ ...entry, path: `.${entry.path}` }));
}

function controlEntries(input: DebianInput, data: readonly TarEntry[]): TarEntry[] {
  const files = data.filter((entry): entry is FileEntry => 'bytes' in entry);
  const sums = files.map(({ path, bytes }) => `${createHash('md5').update(bytes()).digest('hex')}  ${path.slice(2)}\n`);
  const kibibytes = files.reduce((sum, { bytes }) => sum + Math.ceil(bytes().length / 1024), 0);
  const made: readonly (readonly [string, string, number])[] = [
    ['control', control(input, kibibytes), 0o644],
    ['conffiles', `${settingsPath(agentProduct)}\n`, 0o644],
    ['md5sums', sums.sort().join(''), 0o644],
    ['preinst', preinst, 0o755],
    ['postinst', postinst, 0o755],
    ['prerm', prerm, 0o755],
    ['postrm', postrm, 0o755],
  ];
  return made.map(([name, text, mode]) => ({ path: `./${name}`, mode, bytes: () => Buffer.from(text) }));
}

function control({ version, platform, maintainer }: DebianInput, kibibytes: number): string {
  return `Package: flotilla-agent
Version: ${version}
Architecture: ${platform.debian}
Maintainer: ${maintainer}
Installed-Size: ${String(kibibytes)}
Depends: libc6 (>= 2.28), libgcc-s1, libstdc++6 (>= 8), init-system-helpers, passwd, util-linux
Section: misc
Priority: optional
Description: runs machine-learning modules that a Flotilla control plane sends
 The agent pulls signed modules with ONNX models, proves them on this machine,
 answers over local HTTP, and reports back over MQTT. It brings its own Node
 and onnxruntime.
`;
}

/** A package names the folders that its files are in. */
function withFolders(entries: readonly TarEntry[]): TarEntry[] {
  const folders = new Set<string>();
  for (const { path } of entries) {
    for (let at = path.lastIndexOf('/'); at > 0; at = path.lastIndexOf('/', at - 1)) folders.add(path.slice(0, at + 1));
  }
  return [...[...folders].map((path) => ({ path, mode: 0o755, folder: true as const })), ...entries];
}
