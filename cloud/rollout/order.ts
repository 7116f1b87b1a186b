/** In which order a rollout takes devices: by a hash, so that no rollout begins with the same ones. Pure. */

/** FNV-1a with a last mixing, which spreads names that differ in one digit. */
export function orderHash(rollout: string, device: string): number {
  let hash = 0x811c9dc5;
  for (const character of `${rollout}\n${device}`) {
    hash = Math.imul(hash ^ (character.codePointAt(0) ?? 0), 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** The same for the same devices, however they are given. */
export function inOrder<T extends { readonly device: string }>(rollout: string, devices: readonly T[]): T[] {
  return devices
    .map((one) => ({ one, hash: orderHash(rollout, one.device) }))
    .sort((a, b) => a.hash - b.hash || (a.one.device < b.one.device ? -1 : a.one.device > b.one.device ? 1 : 0))
    .map(({ one }) => one);
}
