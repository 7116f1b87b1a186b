/**
 * Long work on standard error: one line rewritten in place on a terminal, plain lines elsewhere,
 * there only when something is worth a line.
 */
import type { TextSink } from './output.js';
import { formatBytes, printable } from './output.js';

const smallestWorthALine = 4 * 1024 * 1024;

export class Progress {
  private shown = '';
  private lastStep = '';

  constructor(
    private readonly sink: TextSink,
    private readonly isTty: boolean,
  ) {}

  /** A line that stays. */
  line(text: string): void {
    this.clear();
    this.sink.write(`${printable(text)}\n`);
  }

  /**
   * What is going on right now.
   *
   * @param step what makes it worth a new line where lines stay; the same step again is silent
   */
  update(text: string, step: string = text): void {
    const clean = printable(text);
    if (this.isTty) {
      if (clean === this.shown) return;
      this.sink.write(`\r${clean}\u001b[K`);
      this.shown = clean;
    } else if (step !== this.lastStep) {
      this.sink.write(`${clean}\n`);
    }
    this.lastStep = step;
  }

  /** Where lines stay, every tenth of something large is worth one. */
  bytes(label: string, done: number, total: number): void {
    if (!this.isTty && total < smallestWorthALine) return;
    const percent = total === 0 ? 100 : Math.floor((done / total) * 100);
    const text = `${label}: ${formatBytes(done)} of ${formatBytes(total)} (${String(percent)} %)`;
    this.update(text, `${label} ${String(Math.floor(percent / 10))}`);
  }

  /** Before anything else is written. */
  clear(): void {
    if (this.shown !== '') this.sink.write('\r\u001b[K');
    this.shown = '';
  }
}
