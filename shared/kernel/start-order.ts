/**
 * In which order things start that name others after which they start. Names that are not there are nothing to wait
 * for. Pure; on a circle, which whoever makes the order refuses, all of it comes last and at once.
 */
export type StartAfter = Readonly<Record<string, readonly string[]>>;

/** Levels: each holds, by name, what may start once all levels before it are ready. They stop from the last to the first. */
export function startLevels(after: StartAfter): string[][] {
  const levels: string[][] = [];
  let left = Object.keys(after).sort();
  while (left.length > 0) {
    const waiting = new Set(left);
    const free = left.filter((name) => !befores(after, name).some((before) => waiting.has(before)));
    const level = free.length > 0 ? free : left;
    levels.push(level);
    left = left.filter((name) => !level.includes(name));
  }
  return levels;
}

/** A circle of names, its first one again at the end; undefined where there is none. */
export function findStartCircle(after: StartAfter): string[] | undefined {
  const done = new Set<string>();
  const walk = (name: string, path: readonly string[]): string[] | undefined => {
    if (path.includes(name)) return [...path.slice(path.indexOf(name)), name];
    if (done.has(name)) return undefined;
    for (const before of befores(after, name)) {
      const circle = walk(before, [...path, name]);
      if (circle !== undefined) return circle;
    }
    done.add(name);
    return undefined;
  };
  for (const name of Object.keys(after).sort()) {
    const circle = walk(name, []);
    if (circle !== undefined) return circle;
  }
  return undefined;
}

/** All that start after it, directly or not, by name. */
export function dependentsOf(after: StartAfter, name: string): string[] {
  const found = new Set<string>();
  let news = [name];
  while (news.length > 0) {
    const known = news;
    news = Object.keys(after).filter(
      (one) => one !== name && !found.has(one) && befores(after, one).some((before) => known.includes(before)),
    );
    for (const one of news) found.add(one);
  }
  return [...found].sort();
}

function befores(after: StartAfter, name: string): readonly string[] {
  return Object.hasOwn(after, name) ? (after[name] ?? []) : [];
}
