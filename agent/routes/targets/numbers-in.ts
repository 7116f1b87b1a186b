/** The numbers in an answer, by where they stand: `score`, `bearing.temperature`. Truth counts as 0 and 1. Pure. */
const maxNumbers = 16;
const maxDepth = 3;
const maxPath = 64;

/** A bare number is `value`. At most 16, in the order of the answer; lists are left out. */
export function numbersIn(answer: unknown): readonly (readonly [path: string, value: number])[] {
  const found: [string, number][] = [];
  const walk = (value: unknown, path: string, depth: number): void => {
    if (found.length >= maxNumbers || path.length > maxPath) return;
    if (typeof value === 'number' && Number.isFinite(value)) found.push([path === '' ? 'value' : path, value]);
    else if (typeof value === 'boolean') found.push([path === '' ? 'value' : path, Number(value)]);
    else if (typeof value === 'object' && value !== null && !Array.isArray(value) && depth < maxDepth) {
      for (const [key, inner] of Object.entries(value)) walk(inner, path === '' ? key : `${path}.${key}`, depth + 1);
    }
  };
  walk(answer, '', 0);
  return found;
}
