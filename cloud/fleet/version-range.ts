/** Ranges of whole versions: `4`, `>=4`, `>=4 <6`; every part must hold. Pure. */
export interface VersionBound {
  readonly operator: '=' | '<' | '<=' | '>' | '>=';
  readonly version: number;
}

export type VersionRange = readonly VersionBound[];

/** @returns undefined for a text of another form */
export function parseVersionRange(text: string): VersionRange | undefined {
  const parts = text.trim().split(/ +/);
  const bounds = parts.map((part): VersionBound | undefined => {
    const match = /^(<=|>=|<|>|=)?([1-9]\d{0,8})$/.exec(part);
    if (!match) return undefined;
    return { operator: (match[1] ?? '=') as VersionBound['operator'], version: Number(match[2]) };
  });
  return bounds.every((bound) => bound !== undefined) ? bounds : undefined;
}

export function inRange(version: number, range: VersionRange): boolean {
  return range.every((bound) => holds(version, bound));
}

function holds(version: number, { operator, version: bound }: VersionBound): boolean {
  switch (operator) {
    case '=':
      return version === bound;
    case '<':
      return version < bound;
    case '<=':
      return version <= bound;
    case '>':
      return version > bound;
    case '>=':
      return version >= bound;
  }
}
