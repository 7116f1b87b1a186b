/** The least root file system that the scoring core runs on: the libraries of this machine that Node and onnxruntime name. */
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

export function makeRootFolder(folder: string): string {
  const runtime = dirname(dirname(createRequire(import.meta.url).resolve('onnxruntime-node')));
  const native = join(runtime, 'bin/napi-v6', process.platform, process.arch);
  const programs = [process.execPath, ...readdirSync(native).map((name) => join(native, name))];
  const listed = programs.map((program) => execFileSync('ldd', [program], { encoding: 'utf8' })).join('\n');
  for (const [, path = ''] of listed.matchAll(/(?:=> |^\s+)(\/\S+) \(0x/gm)) {
    if (path.startsWith(native)) continue;
    mkdirSync(join(folder, dirname(path)), { recursive: true });
    copyFileSync(path, join(folder, path));
  }
  return folder;
}
