/** Names with `*` for any letters and `?` for one. Pure; the time that a match takes grows with both lengths alone. */
export function matcherOf(pattern: string): (name: string) => boolean {
  const letters = [...pattern];
  return (name) => matches([...name], letters);
}

/** The last `*` takes as much more as it must: no more than one way back is ever needed. */
function matches(name: readonly string[], pattern: readonly string[]): boolean {
  let [at, next] = [0, 0];
  let star: { readonly next: number; at: number } | undefined;
  while (at < name.length) {
    const letter = pattern[next];
    if (letter === '*') {
      star = { next: next + 1, at };
      next += 1;
    } else if (letter !== undefined && (letter === '?' || letter === name[at])) {
      at += 1;
      next += 1;
    } else if (star === undefined) return false;
    else {
      star.at += 1;
      at = star.at;
      next = star.next;
    }
  }
  return pattern.slice(next).every((letter) => letter === '*');
}
