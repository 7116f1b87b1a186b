/** Lines of styled pieces: cut to a width before anything is coloured, so that no code is cut in two. Pure. */
import { printable } from '../output.js';

export type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan';

export interface Piece {
  readonly text: string;
  readonly style?: Style | undefined;
}

export type Line = readonly Piece[];

const codes: Readonly<Record<Style, string>> = {
  bold: '1',
  dim: '2',
  red: '31',
  green: '32',
  yellow: '33',
  cyan: '36',
};

/** Text from elsewhere loses what could drive a terminal. */
export function piece(text: string, style?: Style): Piece {
  return { text: printable(text), style };
}

export function widthOf(line: Line): number {
  return line.reduce((sum, { text }) => sum + Array.from(text).length, 0);
}

/** At most so many characters; what was cut shows as an ellipsis. */
export function clip(line: Line, columns: number): Line {
  if (widthOf(line) <= columns) return line;
  const kept: Piece[] = [];
  let room = Math.max(0, columns - 1);
  for (const { text, style } of line) {
    const characters = Array.from(text);
    kept.push({ text: characters.slice(0, room).join(''), style });
    if (characters.length >= room) break;
    room -= characters.length;
  }
  return columns < 1 ? [] : [...kept, { text: '…' }];
}

/** Two ends of one line; where there is no room for both, the left one. */
export function spread(left: Line, right: Line, columns: number): Line {
  const gap = columns - widthOf(left) - widthOf(right);
  return gap < 2 ? left : [...left, { text: ' '.repeat(gap) }, ...right];
}

/** @param colored without it, the text alone */
export function paint(line: Line, colored: boolean): string {
  return line
    .map(({ text, style }) =>
      colored && style !== undefined && text !== '' ? `\u001b[${codes[style]}m${text}\u001b[0m` : text,
    )
    .join('')
    .trimEnd();
}
