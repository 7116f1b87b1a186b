/**
 * A terminal as one screen that is painted over and over, on the terminal's other buffer: what was there before comes
 * back when it closes, however the program ends.
 */

export interface Size {
  readonly columns: number;
  readonly rows: number;
}

export interface Terminal {
  /** Whether colours are welcome: NO_COLOR (https://no-color.org) says that they are not. */
  readonly colors: boolean;
  size(): Size;
  write(text: string): void;
  /** @returns the function that ends it */
  onResize(listener: () => void): () => void;
  /** When the process ends in whatever way. @returns the function that ends it */
  onExit(listener: () => void): () => void;
}

const enter = '\u001b[?1049h\u001b[?25l\u001b[?7l';
const leave = '\u001b[?7h\u001b[?25h\u001b[?1049l';
const home = '\u001b[H';
const restOfLine = '\u001b[K';
const restOfScreen = '\u001b[J';

export class TerminalScreen {
  private shown = '';
  private isOpen = true;
  private readonly ends: readonly (() => void)[];

  /** @param render asked again whenever the window has another size */
  constructor(
    private readonly terminal: Terminal,
    private readonly render: (size: Size) => string,
  ) {
    terminal.write(enter);
    this.ends = [
      terminal.onResize(() => {
        this.shown = '';
        this.paint();
      }),
      terminal.onExit(() => this.close()),
    ];
  }

  /** Without flicker: lines are written over those before, and nothing where nothing has changed. */
  paint(): void {
    const text = this.render(this.terminal.size());
    if (!this.isOpen || text === this.shown) return;
    this.shown = text;
    this.terminal.write(`${home}${text.split('\n').join(`${restOfLine}\r\n`)}${restOfLine}${restOfScreen}`);
  }

  close(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    for (const end of this.ends) end();
    this.terminal.write(leave);
  }
}
