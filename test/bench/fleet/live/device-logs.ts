/** What simulated devices wrote of themselves. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

export interface Noted {
  /** Milliseconds since the epoch, of the same machine's clock as the control plane's. */
  readonly at: number;
  readonly device: string;
  readonly did: string;
  readonly generation?: number;
  readonly release?: string;
  readonly bytes?: number;
}

export async function readLogs(folder: string): Promise<Noted[]> {
  const noted: Noted[] = [];
  for (const name of (await readdir(folder)).sort()) {
    const text = await readFile(join(folder, name), 'utf8');
    for (const line of text.split('\n').slice(0, -1)) noted.push(JSON.parse(line) as Noted);
  }
  return noted;
}

/** Of those after the instant, the first one of each device. */
export function firstByDevice(noted: readonly Noted[], did: string, after: number): Map<string, Noted> {
  const first = new Map<string, Noted>();
  for (const one of noted) {
    if (one.did !== did || one.at < after) continue;
    const known = first.get(one.device);
    if (known === undefined || one.at < known.at) first.set(one.device, one);
  }
  return first;
}

/** How often each device accepted a document of this release. */
export function acceptedTimes(noted: readonly Noted[], release: string): Map<string, number> {
  const times = new Map<string, number>();
  for (const { did, device, release: of } of noted) {
    if (did === 'accepted' && of === release) times.set(device, (times.get(device) ?? 0) + 1);
  }
  return times;
}
