import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { elfMachine } from '#scripts/installables/elf-file.js';
import { platforms } from '#scripts/installables/platforms.js';
import { readSums } from '#shared/platform/installation/release-files.js';
import { archivePath, hasArchives, type InstallableName, unpack } from '../../support/installed/archives.js';
import { outsideTool } from '../../support/outside-tool.js';
import { temporaryFolder } from '../../support/temporary-folder.js';

const path = temporaryFolder();
const archives = [
  ['flotilla-agent', 'linux-x64'],
  ['flotilla-agent', 'linux-arm64'],
  ['flotilla', 'linux-x64'],
] as const satisfies readonly (readonly [InstallableName, string])[];

const filesOf = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
    .sort();

describe.runIf(hasArchives(...archives.map(([name, platform]) => archivePath(name, platform)))).each(archives)(
  'the archive of %s for %s',
  (name, platformName) => {
    const platform = platforms.find((one) => one.name === platformName);
    let folder: string;
    let files: string[];

    beforeAll(async () => {
      await mkdir(path(name, platformName), { recursive: true });
      folder = path(name, platformName, unpack(archivePath(name, platformName), path(name, platformName)));
      files = filesOf(folder);
    });

    it('holds what its list of digests says, and nothing else', () => {
      const sums = readSums(readFileSync(join(folder, 'SHA256SUMS'), 'utf8'));
      expect([...sums.keys(), 'SHA256SUMS'].sort()).toEqual(files);
      for (const [file, digest] of sums) {
        expect(
          createHash('sha256')
            .update(readFileSync(join(folder, file)))
            .digest('hex'),
        ).toBe(digest);
      }
    });

    it('has programs for its own machine alone, Node and onnxruntime among them', () => {
      const machines = new Map<string, number | undefined>();
      for (const file of files) {
        const machine = elfMachine(readFileSync(join(folder, file)));
        if (machine !== undefined) machines.set(file, machine);
        else expect(file).not.toMatch(/\.(node|so(\.\d+)*)$/);
      }
      expect(new Set(machines.values())).toEqual(new Set([platform?.elfMachine]));
      const found = [...machines.keys()];
      expect(found).toContain('runtime/node');
      expect(found.some((file) => file.endsWith('/libonnxruntime.so.1'))).toBe(true);
    });

    it('has everything that its user needs to know and to start', () => {
      for (const file of ['LICENSE', 'README.txt', 'install.sh', 'uninstall.sh', `bin/${name}`, `${name}.service`])
        expect(files).toContain(file);
      for (const file of ['install.sh', 'uninstall.sh', `bin/${name}`, 'runtime/node'])
        expect(statSync(join(folder, file)).mode & 0o111).toBe(0o111);
    });

    it('names the licence of Node, of onnxruntime and of every package that it carries', () => {
      const notices = readFileSync(join(folder, 'THIRD-PARTY-NOTICES.txt'), 'utf8');
      const carried = files.flatMap(
        (file) => /node_modules\/((?:@[^/]+\/)?[^/]+)\/package\.json$/.exec(file)?.[1] ?? [],
      );
      expect(carried).toContain('onnxruntime-node');
      for (const one of ['node-linux-', ...carried]) expect(notices).toMatch(new RegExp(`^${one}\\S* `, 'm'));
    });

    it('carries no source map, and no path of where it was built', () => {
      expect(files.filter((file) => file.endsWith('.map'))).toEqual([]);
      const ours = files.filter((file) => /^(app\/(?!node_modules).*\.js|.*\.txt|.*\.json|.*\.sh|bin\/.*)$/.test(file));
      for (const file of ours) expect(readFileSync(join(folder, file), 'utf8')).not.toContain(process.cwd());
    });

    it('starts', () => {
      const isOwn = platform?.cpu === process.arch && process.platform === 'linux';
      // Qemu shows that Node and our programs start on the other processor, not more: onnxruntime's library does not load in it.
      const before = isOwn ? [] : [outsideTool('qemu-aarch64-static'), '-L', '/usr/aarch64-linux-gnu'];
      const entry = name === 'flotilla' ? 'app/dist/cloud/cli/main.js' : 'app/flotilla-agent.js';
      const [file = '', ...args] = [...before, join(folder, 'runtime/node'), join(folder, entry), '--version'];
      expect(execFileSync(file, args, { encoding: 'utf8' }).trim()).toBe(
        (JSON.parse(readFileSync(join(folder, 'release.json'), 'utf8')) as { version: string }).version,
      );
    });
  },
);
