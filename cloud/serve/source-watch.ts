/**
 * Tells when what lies in folders changed, by asking again and again: that works on every file system,
 * network mounts and containers included, where notifications of changes do not come.
 */
import { readdir, realpath, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Clock } from '#shared/kernel/clock.js';
import { digestOf } from '#shared/package/digest.js';

const skipped = new Set(['node_modules', '__pycache__']);
/** More than this is no module, but perhaps a home folder given by mistake. */
const maxEntries = 20_000;

/** The same as long as no file below came, went or was written. */
export async function fingerprintOf(sources: readonly string[]): Promise<string> {
  const lines: string[] = [];
  for (const source of sources) {
    await collect(source, lines);
    if (source.endsWith('.onnx')) await collectWeights(source, lines);
  }
  return digestOf(lines.sort().join('\n'));
}

/**
 * Calls back once what changed lies still; a change during the call is told by another. Ends with the signal.
 *
 * @param known fingerprint of what the caller has, taken before it was read: a change since then is one
 */
export async function watchSources(
  sources: readonly string[],
  known: string,
  options: { readonly everyMs: number; readonly clock: Clock; readonly signal: AbortSignal },
  onChange: () => Promise<void>,
): Promise<void> {
  let before = known;
  for (;;) {
    await options.clock.sleep(options.everyMs, options.signal);
    if (options.signal.aborted) return;
    const found = await fingerprintOf(sources);
    const stillChanging = found !== before;
    before = found;
    if (stillChanging || found === known) continue;
    known = found;
    await onChange();
  }
}

async function collect(path: string, lines: string[]): Promise<void> {
  if (lines.length >= maxEntries) return;
  try {
    const found = await stat(path);
    if (!found.isDirectory()) {
      lines.push(`${path} ${String(found.size)} ${String(found.mtimeMs)} ${String(found.ino)}`);
      return;
    }
    for (const entry of await readdir(await realpath(path), { withFileTypes: true })) {
      if (entry.name.startsWith('.') || skipped.has(entry.name)) continue;
      const below = join(path, entry.name);
      // Links to folders may lead in circles; what a module may use of them lies in it anyway.
      if (!entry.isSymbolicLink() || !(await stat(below)).isDirectory()) await collect(below, lines);
    }
  } catch {
    // Gone, or unreadable, between two looks: that is a change too.
    lines.push(`${path} unreadable`);
  }
}

/** Beside a bare model: files of its name with more behind it, as exporters name external data. */
async function collectWeights(model: string, lines: string[]): Promise<void> {
  const folder = dirname(model);
  const name = basename(model);
  const entries = await readdir(folder).catch((): string[] => []);
  for (const entry of entries) {
    if (entry !== name && entry.startsWith(name)) await collect(join(folder, entry), lines);
  }
}
