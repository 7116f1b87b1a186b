/** Which versions of layers a device is to have. Pure. */

export interface LayerRef {
  readonly name: string;
  readonly version: number;
}

/** A layer as it is now, and whether it is meant for the device. */
export interface LayerHead extends LayerRef {
  /** Devices take what was saved only with a release that is deployed to them. */
  readonly staged: boolean;
  readonly matches: boolean;
}

/**
 * By name.
 *
 * @param how `all`: with a release, every layer as it is now. `live`: layers that are staged, and those that were
 *   deleted for later, stay as the device has them.
 */
export function layersToTake(
  has: readonly LayerRef[],
  heads: readonly LayerHead[],
  how: 'all' | 'live',
): readonly LayerRef[] {
  const taken = heads
    .filter(({ matches, staged }) => matches && (how === 'all' || !staged))
    .map(({ name, version }): LayerRef => ({ name, version }));
  const kept = has.filter(({ name }) => {
    const head = heads.find((one) => one.name === name);
    return how === 'live' && (head === undefined || head.staged);
  });
  return [...taken, ...kept].sort((a, b) => (a.name < b.name ? -1 : 1));
}

export function sameLayers(one: readonly LayerRef[], other: readonly LayerRef[]): boolean {
  const keyed = (refs: readonly LayerRef[]): string[] =>
    refs.map(({ name, version }) => `${name}:${String(version)}`).sort();
  return keyed(one).join(' ') === keyed(other).join(' ');
}
