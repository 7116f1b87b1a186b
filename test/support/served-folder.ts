/** A module's folder, packed, unpacked, proved and served by real hosts, as `flotilla serve` does. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '#shared/kernel/clock.js';
import { bindHandle } from '#shared/supervisor/listen-handle.js';
import { forgetLocalModules, openLocalModules } from '#cloud/serve/local-module.js';
import { LocalServing, type ServedVersion } from '#cloud/serve/local-serving.js';
import { scoringHostEntry, scriptHostEntry } from './scoring-harness.js';

export interface ServedFolder {
  readonly url: string;
  /** With how many golden vectors agreed. */
  readonly served: ServedVersion;
  readonly log: readonly string[];
  close(): Promise<void>;
}

/** @param settings what its script's `init` gets */
export async function serveFolder(folder: string, settings: Record<string, unknown> = {}): Promise<ServedFolder> {
  const scratch = await mkdtemp(join(tmpdir(), 'flotilla-served-'));
  const http = bindHandle('127.0.0.1', 0);
  const log: string[] = [];
  let last = 0;
  const nextId = (): number => ++last;
  const serving = new LocalServing({
    ...{ clock: systemClock, random: Math.random, handles: { http }, runFolder: scratch, cores: 1, nextId },
    ...{ prove: true, drainMs: 1000 },
    entries: { scoringHost: scoringHostEntry, scriptHost: scriptHostEntry, providerCheck: '' },
    onTrouble: (text) => log.push(text),
    onLog: (_modules, line) => log.push(line),
  });
  const opened = await openLocalModules([folder], { scratch, nextId, instances: undefined });
  const modules = opened.map((module) => ({ ...module, settings }));
  const close = async (): Promise<void> => {
    await serving.stop();
    http.close();
    await forgetLocalModules(modules);
    await rm(scratch, { recursive: true, force: true });
  };
  try {
    const [served] = await serving.serve(modules, { labels: {}, maxBodyBytes: 8 * 1024 * 1024 });
    if (served === undefined) throw new Error(`${folder} is no module`);
    return { url: `http://127.0.0.1:${String(http.port)}`, served, log, close };
  } catch (error) {
    await close();
    throw error;
  }
}
