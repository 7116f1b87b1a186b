/**
 * Where a text stops being JSON. `JSON.parse` says so in other words on every version of Node, and quotes
 * the input; this says line and column. It accepts exactly what `JSON.parse` accepts.
 */

export interface JsonFault {
  readonly line: number;
  readonly column: number;
  readonly expected: string;
}

/** Undefined when the text is JSON. The caller has bounded how deep it nests: this recurses. */
export function findJsonFault(text: string): JsonFault | undefined {
  const scanner = new Scanner(text);
  try {
    scanner.document();
    return undefined;
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    const before = text.slice(0, error.at).split('\n');
    return { line: before.length, column: (before.at(-1) ?? '').length + 1, expected: error.expected };
  }
}

class Fault extends Error {
  constructor(
    readonly at: number,
    readonly expected: string,
  ) {
    super(expected);
  }
}

const number = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
// biome-ignore lint/suspicious/noControlCharactersInRegex: JSON forbids them inside strings
const string = /"(?:[^"\\\u0000-\u001f]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*"/y;
const literal = /true|false|null/y;
const space = /[ \t\n\r]*/y;

class Scanner {
  private at = 0;

  constructor(private readonly text: string) {}

  document(): void {
    this.value();
    if (this.at < this.text.length) throw new Fault(this.at, 'the end of the text');
  }

  private value(): void {
    this.take(space);
    const next = this.text[this.at];
    if (next === '{') this.list('}', () => this.member());
    else if (next === '[') this.list(']', () => this.value());
    else if (!this.take(string) && !this.take(number) && !this.take(literal)) throw new Fault(this.at, 'a value');
    this.take(space);
  }

  private list(end: string, item: () => void): void {
    this.at++;
    this.take(space);
    if (this.text[this.at] === end) {
      this.at++;
      return;
    }
    for (;;) {
      item();
      const next = this.text[this.at];
      if (next !== ',' && next !== end) throw new Fault(this.at, `"," or "${end}"`);
      this.at++;
      if (next === end) return;
    }
  }

  private member(): void {
    this.take(space);
    if (!this.take(string)) throw new Fault(this.at, 'a name in double quotes');
    this.take(space);
    if (this.text[this.at] !== ':') throw new Fault(this.at, '":"');
    this.at++;
    this.value();
  }

  private take(token: RegExp): boolean {
    token.lastIndex = this.at;
    const match = token.exec(this.text);
    if (match === null) return false;
    this.at += match[0].length;
    return true;
  }
}
