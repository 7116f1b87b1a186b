/** Patterns in which `*` stands for any characters, none included, and every other character for itself. Pure. */

export function matchesGlob(text: string, pattern: string): boolean {
  const [first = '', ...parts] = pattern.split('*');
  const last = parts.pop();
  if (last === undefined) return text === first;
  if (text.length < first.length + last.length || !text.startsWith(first) || !text.endsWith(last)) return false;
  // The earliest place of each part leaves the most for those that follow.
  let from = first.length;
  const end = text.length - last.length;
  for (const part of parts) {
    const found = text.indexOf(part, from);
    if (found < 0 || found + part.length > end) return false;
    from = found + part.length;
  }
  return true;
}

/** The same for SQLite's `glob`, to which `?` and `[` mean something too. */
export function sqliteGlob(pattern: string): string {
  return pattern.replace(/[?[]/g, (special) => `[${special}]`);
}
