/** Cuts a child's output into lines, hands each on, and keeps the last few for the cause of its end. */
import type { Readable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';

const keptLines = 20;
/** A line that never ends must not grow without bound. */
const maxLineLength = 8192;

export class LineTail {
  private readonly last: string[] = [];

  constructor(private readonly onLine: (line: string) => void) {}

  get lines(): readonly string[] {
    return [...this.last];
  }

  read(stream: Readable): void {
    const decoder = new StringDecoder('utf8');
    let rest = '';
    stream.on('data', (chunk: Buffer) => {
      const pieces = (rest + decoder.write(chunk)).split('\n');
      rest = pieces.pop() ?? '';
      for (const piece of pieces) this.add(piece);
      while (rest.length > maxLineLength) {
        this.add(rest.slice(0, maxLineLength));
        rest = rest.slice(maxLineLength);
      }
    });
    stream.on('end', () => {
      rest += decoder.end();
      if (rest !== '') this.add(rest);
      rest = '';
    });
    stream.on('error', (error) => this.add(`output of the process was lost: ${error.message}`));
  }

  add(line: string): void {
    const cut = line.replace(/\r$/, '').slice(0, maxLineLength);
    this.last.push(cut);
    if (this.last.length > keptLines) this.last.shift();
    this.onLine(cut);
  }
}
