/** Versions that are to get copies of live requests beside the one that answers: which, and under what names. Pure. */
import { canonicalJson } from '#shared/protocol/canonical-json.js';
import type { Desired, DesiredModule, DesiredShadow } from '#shared/protocol/desired.js';
import type { ShadowRule } from '#shared/protocol/shadow.js';
import { entry, type VersionKey, versionKeyOf } from '#agent/reconcile/observed.js';

const prefix = 'shadow:';

/** The track of a module's shadow: no name of a module, and no digest. */
export function shadowTrackOf(module: string): string {
  return `${prefix}${module}`;
}

/** Whose version a track brings; undefined for a prefetched image. */
export function trackOwner(track: string): { readonly module: string; readonly shadow: boolean } | undefined {
  if (track.startsWith('sha256:')) return undefined;
  const shadow = track.startsWith(prefix);
  return { module: shadow ? track.slice(prefix.length) : track, shadow };
}

export interface WantedShadow {
  readonly module: string;
  readonly key: VersionKey;
  readonly shadow: DesiredShadow;
}

/** In the order of names. One that is the version itself has nothing to be compared to. */
export function wantedShadows(desired: Desired): WantedShadow[] {
  return Object.entries(desired.modules)
    .flatMap(([module, { shadow, ...own }]) => {
      if (shadow === undefined) return [];
      const key = versionKeyOf(shadow);
      return key === versionKeyOf(own) ? [] : [{ module, key, shadow }];
    })
    .sort((a, b) => (a.module < b.module ? -1 : 1));
}

export function ruleOf({ percent, compare, tag, maxWaiting, maxWaitingBytes }: DesiredShadow): ShadowRule {
  return { percent, compare, maxWaiting, maxWaitingBytes, ...(tag === undefined ? {} : { tag }) };
}

/** What must be the same for nothing to be changed. */
export function ruleKeyOf(shadow: DesiredShadow): string {
  return canonicalJson(ruleOf(shadow));
}

/** The module as it would run if its shadow answered; what a host is told of a shadow. */
export function shadowVersionOf(module: DesiredModule): DesiredModule | undefined {
  const { shadow, policy } = module;
  return shadow && { image: shadow.image, settings: shadow.settings, policy };
}

/** A module without its shadow: what is committed and kept says what answers, and older agents can read it. */
export function withoutShadow({ shadow: _beside, ...module }: DesiredModule): DesiredModule {
  return module;
}

export function shadowOf(desired: Desired | undefined, module: string): DesiredShadow | undefined {
  return desired && entry(desired.modules, module)?.shadow;
}
