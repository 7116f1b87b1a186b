/** The functions in which a profiled thread spent its own time, most first. Pure. */

export interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  }[];
  readonly samples?: readonly number[];
  /** Microseconds before each sample. */
  readonly timeDeltas?: readonly number[];
}

export interface SelfTime {
  readonly where: string;
  readonly ms: number;
  /** Of the time in which the thread did anything. */
  readonly share: number;
}

export function selfTimes({ nodes, samples = [], timeDeltas = [] }: CpuProfile): readonly SelfTime[] {
  const places = new Map(nodes.map(({ id, callFrame }) => [id, placeOf(callFrame)]));
  const micros = new Map<string, number>();
  for (const [index, id] of samples.entries()) {
    const place = places.get(id);
    if (place === undefined || place === '(idle)') continue;
    micros.set(place, (micros.get(place) ?? 0) + Math.max(0, timeDeltas[index] ?? 0));
  }
  const busy = [...micros.values()].reduce((sum, value) => sum + value, 0);
  return [...micros]
    .sort(([, one], [, other]) => other - one)
    .map(([where, value]) => ({ where, ms: value / 1000, share: value / busy }));
}

function placeOf({ functionName, url, lineNumber }: CpuProfile['nodes'][number]['callFrame']): string {
  const name = functionName === '' ? '(anonymous)' : functionName;
  const file = url.split('/').slice(-2).join('/');
  return file === '' ? name : `${name} ${file}:${String(lineNumber + 1)}`;
}
