/**
 * Cuts a child's output into lines, hands on as many as its budget allows, and keeps the last few for the
 * cause of its end. A child that writes faster than anyone could read is read slowly: it waits, not we.
 */
import type { Readable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
import type { Dropped, LogBudget } from './log-budget.js';

const keptLines = 20;
/** A line that never ends must not grow without bound. */
const maxLineLength = 8192;
/** What is read of one stream in one slice, before it is let be until the next. */
const sliceBytes = 256 * 1024;
const sliceMs = 100;

export interface LinePorts {
  readonly onLine: (line: string) => void;
  /** Lines that were not handed on, once there is room again, or none will come. */
  readonly onDropped: (dropped: Dropped) => void;
  readonly budget: LogBudget;
  /** Monotonic milliseconds. */
  readonly now: () => number;
}

export class LineTail {
  private readonly last: string[] = [];
  private open = 0;

  constructor(private readonly ports: LinePorts) {}

  get lines(): readonly string[] {
    return [...this.last];
  }

  read(stream: Readable): void {
    const decoder = new StringDecoder('utf8');
    let rest = '';
    let sliceStart = 0;
    let inSlice = 0;
    this.open += 1;
    stream.on('data', (chunk: Buffer) => {
      const pieces = (rest + decoder.write(chunk)).split('\n');
      rest = pieces.pop() ?? '';
      for (const piece of pieces) this.add(piece);
      while (rest.length > maxLineLength) {
        this.add(rest.slice(0, maxLineLength));
        rest = rest.slice(maxLineLength);
      }
      const now = this.ports.now();
      if (now - sliceStart >= sliceMs) [sliceStart, inSlice] = [now, 0];
      inSlice += chunk.length;
      if (inSlice < sliceBytes) return;
      stream.pause();
      setTimeout(() => stream.resume(), sliceMs).unref();
    });
    stream.on('end', () => {
      rest += decoder.end();
      if (rest !== '') this.add(rest);
      rest = '';
      this.open -= 1;
      if (this.open === 0) this.tellDropped();
    });
    stream.on('error', (error) => this.add(`output of the process was lost: ${error.message}`));
  }

  add(line: string): void {
    const cut = line.replace(/\r$/, '').slice(0, maxLineLength);
    this.last.push(cut);
    if (this.last.length > keptLines) this.last.shift();
    const { budget, onLine, now } = this.ports;
    if (!budget.take(Buffer.byteLength(cut) + 1, now())) return;
    this.tellDropped();
    onLine(cut);
  }

  private tellDropped(): void {
    const dropped = this.ports.budget.takeDropped();
    if (dropped !== undefined) this.ports.onDropped(dropped);
  }
}
