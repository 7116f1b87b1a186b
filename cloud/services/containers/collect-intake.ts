/**
 * The service host's end of what a container collects: tells it the rules that stand in the deployment's folder, and
 * puts there what it hands over. Names are checked, and nothing that is there is replaced: a container is not believed.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { systemClock } from '#shared/kernel/clock.js';
import { writeFileAtomic } from '#shared/platform/atomic-file.js';
import { isThere } from '#shared/platform/is-there.js';
import { type CollectRules, collectRulesSchema } from '#shared/protocol/collect.js';
import { decodeMessage } from '#shared/protocol/decode.js';
import { rulesFile } from '#shared/scoring/collect/piece-folder.js';
import { readPieceFile } from '#shared/scoring/collect/piece-name.js';

const lookEveryMs = 500;
const maxRulesBytes = 4 * 1024 * 1024;
const noRules: CollectRules = { schema: 1, modules: {} };

/** Tells the rules whenever they change. Those that cannot be read collect nothing. */
export async function followRules(
  folder: string,
  tell: (rules: CollectRules) => void,
  over: AbortSignal,
): Promise<void> {
  let told = '';
  while (!over.aborted) {
    const bytes = await readFile(join(folder, rulesFile)).catch(() => undefined);
    const text = bytes?.toString('utf8') ?? '';
    if (text !== told) {
      const read = bytes === undefined ? undefined : decodeMessage(collectRulesSchema, bytes, maxRulesBytes);
      tell(read?.ok === true ? read.value : noRules);
      told = text;
    }
    await systemClock.sleep(lookEveryMs, over);
  }
}

/** @returns whether it is on the disk, or is none that is ever taken; false: it may come again */
export async function takePiece(folder: string, file: string, lines: string): Promise<boolean> {
  const path = join(folder, file);
  if (readPieceFile(file)?.open !== false || (await isThere(path))) return true;
  try {
    await writeFileAtomic(path, lines, { mode: 0o600 });
    return true;
  } catch {
    return false;
  }
}
