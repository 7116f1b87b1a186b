/** Names that users give: workspaces, models, modules, devices. They stand in topics, URLs and paths as they are. */
export const namePattern = /^[a-z0-9][a-z0-9-]{0,62}$/;

export function isName(text: string): boolean {
  return namePattern.test(text);
}

/** `name:version` of a model, or `name:tag` of an image. */
export interface Reference {
  readonly name: string;
  readonly version: number;
}

const referencePattern = /^([a-z0-9][a-z0-9-]{0,62}):([1-9][0-9]{0,8})$/;

/** Reads `digits:1`; undefined when the text has another form. */
export function parseReference(text: string): Reference | undefined {
  const match = referencePattern.exec(text);
  if (!match?.[1] || !match[2]) return undefined;
  return { name: match[1], version: Number(match[2]) };
}

export function formatReference(reference: Reference): string {
  return `${reference.name}:${String(reference.version)}`;
}

/** The valid word nearest to what was typed, for "did you mean"; undefined when nothing is near. */
export function nearest(typed: string, valid: readonly string[]): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.max(2, Math.floor(typed.length / 3)) + 1;
  for (const word of valid) {
    const distance = editDistance(typed, word);
    // Where every letter would change, nothing is alike.
    if (distance < bestDistance && distance < Math.max(typed.length, word.length)) {
      best = word;
      bestDistance = distance;
    }
  }
  return best;
}

function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const current = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitution = (previous[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      current.push(Math.min((previous[j] ?? 0) + 1, (current[j - 1] ?? 0) + 1, substitution));
    }
    previous = current;
  }
  return previous[b.length] ?? 0;
}
