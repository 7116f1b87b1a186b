/** What the preload has written down of a program: every change that has ended, in order, over all its lives. */
import type { DiskEffect } from './disk-effects.js';

/** The same number in two processes names two files. */
const handlesPerProcess = 1_000_000;

export interface JournalEntry {
  readonly effect: DiskEffect;
  /** Length of the journal, in bytes, once this had ended. */
  readonly upTo: number;
}

/** A last line that a kill cut off is none. */
export function readJournal(text: string): JournalEntry[] {
  const entries: JournalEntry[] = [];
  const processes: number[] = [];
  let upTo = 0;
  for (const line of text.split('\n').slice(0, -1)) {
    upTo += Buffer.byteLength(line) + 1;
    const { kind, process, effect } = JSON.parse(line) as Line;
    if (!processes.includes(process)) processes.push(process);
    if (kind === 'end') entries.push({ effect: effectOf(effect, processes.indexOf(process)), upTo });
  }
  return entries;
}

interface Line {
  readonly kind: 'begin' | 'end';
  readonly process: number;
  readonly effect: DiskEffect & { readonly data?: string };
}

function effectOf(effect: Line['effect'], process: number): DiskEffect {
  if (!('handle' in effect)) return effect;
  const handle = effect.handle + process * handlesPerProcess;
  return effect.op === 'write'
    ? { ...effect, handle, data: Buffer.from(effect.data as unknown as string, 'base64') }
    : { ...effect, handle };
}
