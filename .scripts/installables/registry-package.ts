// A package of npm's registry as a folder: fetched once into .cache/packages, and only if its bytes are the ones named.
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { extract } from 'tar';
import type { RegistryPackage } from './platforms.js';

const run = promisify(execFile);

/** @returns the folder that holds what the package's archive has in `package/` */
export async function registryPackage(wanted: RegistryPackage, cache: string): Promise<string> {
  const { name, version, integrity } = wanted;
  const key = createHash('sha256').update(integrity).digest('hex').slice(0, 12);
  const folder = join(cache, `${name.replace('/', '+')}-${version}-${key}`);
  if (existsSync(folder)) return folder;
  await mkdir(cache, { recursive: true });
  const work = await mkdtemp(join(cache, 'fetching-'));
  try {
    console.error(`Fetching ${name} ${version} …`);
    await run('npm', ['pack', `${name}@${version}`, '--ignore-scripts', '--pack-destination', work], {
      cwd: work,
      maxBuffer: 64 * 1024 * 1024,
      timeout: 600_000,
    });
    const [archive] = (await readdir(work)).filter((file) => file.endsWith('.tgz'));
    if (archive === undefined) throw new Error(`npm pack ${name}@${version} gave no archive`);
    checkIntegrity(await readFile(join(work, archive)), wanted);
    const unpacked = join(work, 'unpacked');
    await mkdir(unpacked);
    await extract({ file: join(work, archive), cwd: unpacked, strip: 1, strict: true });
    await rename(unpacked, folder);
    return folder;
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

export function checkIntegrity(bytes: Uint8Array, { name, version, integrity }: RegistryPackage): void {
  const is = `sha512-${createHash('sha512').update(bytes).digest('base64')}`;
  if (is !== integrity) {
    throw new Error(`${name}@${version} is not what was named: it has ${is}, and must have ${integrity}`);
  }
}
