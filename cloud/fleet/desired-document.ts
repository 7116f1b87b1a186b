/** What a device should run, from rows to the document that the director signs. Pure. */
import type { CollectRule } from '#shared/protocol/collect.js';
import {
  type Desired,
  desiredSchema,
  type ImageReference,
  type RestartPolicy,
  type UpdatePolicy,
  type Variant,
} from '#shared/protocol/desired.js';
import type { RouteOverrides } from '#shared/protocol/route.js';
import type { ShadowRule } from '#shared/protocol/shadow.js';
import type { DeviceAddress } from '#shared/protocol/topics.js';
import { toInstant } from '#shared/kernel/clock.js';

/** A document is followed for so long without renewal. */
export const desiredLifetimeMs = 30 * 86_400_000;
/** Renewed when less than this is left: half, so that a control plane may be away for two weeks. */
export const desiredRenewalMs = desiredLifetimeMs / 2;

export interface DeployedImage {
  readonly name: string;
  readonly version: number;
  readonly digest: string;
  readonly manifestSize: number;
  readonly signatureDigest: string;
  readonly signatureSize: number;
}

/** A version that gets copies of what the module is asked. */
export interface DeployedShadow {
  readonly image: DeployedImage;
  readonly settings: Desired['modules'][string]['settings'];
  readonly rule: ShadowRule;
}

/** One current deployment with the image it names. */
export interface DeployedModule {
  readonly module: string;
  readonly settings: Desired['modules'][string]['settings'];
  readonly policy: RestartPolicy;
  readonly update: UpdatePolicy;
  /** What takes the place of routes of the image. */
  readonly routes?: RouteOverrides;
  /** Where the image is an index: what it stands for, in its order. */
  readonly variants?: readonly Variant[];
  /** Modules that answer before it starts. */
  readonly startAfter?: readonly string[];
  readonly image: DeployedImage;
  readonly shadow?: DeployedShadow | undefined;
  /** Absent: nothing of it is collected. */
  readonly collect?: CollectRule | undefined;
}

/** What is to be fetched beforehand. */
export interface PrefetchedImage extends DeployedImage {
  /** Where it is an index: what it stands for, in its order. */
  readonly variants?: readonly Variant[];
}

export interface DesiredInput extends DeviceAddress {
  readonly generation: number;
  readonly nowMs: number;
  readonly modules: readonly DeployedModule[];
  /** As name:version; empty where the modules are no release. */
  readonly release: string;
  /** What it is to hold beside them. */
  readonly prefetch?: readonly PrefetchedImage[];
}

export function composeDesired(input: DesiredInput): Desired {
  const { workspace, device, generation, nowMs, modules, release, prefetch = [] } = input;
  const sorted = [...modules].sort((a, b) => (a.module < b.module ? -1 : 1));
  return desiredSchema.parse({
    schema: 1,
    workspace,
    device,
    generation,
    issuedAt: toInstant(nowMs),
    expiresAt: toInstant(nowMs + desiredLifetimeMs),
    ...(release === '' ? {} : { release }),
    modules: Object.fromEntries(
      sorted.map(
        ({ module, settings, policy, update, routes = {}, startAfter = [], variants = [], image, ...beside }) => [
          module,
          {
            image: referenceOf(image),
            settings,
            policy,
            update,
            // Agents that know none of them refuse a document that speaks of them.
            ...(Object.keys(routes).length === 0 ? {} : { routes }),
            ...(startAfter.length === 0 ? {} : { startAfter }),
            ...(variants.length === 0 ? {} : { variants }),
            ...besideOf(beside),
          },
        ],
      ),
    ),
    prefetch: prefetch
      .filter(({ digest }) => !modules.some(({ image }) => image.digest === digest))
      .map(({ variants = [], ...image }) => ({
        ...referenceOf(image),
        ...(variants.length === 0 ? {} : { variants }),
      })),
  });
}

/** What stands beside the module; agents that do not know it refuse a document that has it. */
function besideOf({ shadow, collect }: Pick<DeployedModule, 'shadow' | 'collect'>): object {
  return {
    ...(shadow && { shadow: { image: referenceOf(shadow.image), settings: shadow.settings, ...shadow.rule } }),
    ...(collect && { collect }),
  };
}

function referenceOf({
  name,
  version,
  digest,
  manifestSize,
  signatureDigest,
  signatureSize,
}: DeployedImage): ImageReference {
  return { name, version, digest, size: manifestSize, signature: { digest: signatureDigest, size: signatureSize } };
}

/** The same document, to be followed for longer: the generation stays, the issue time rises. */
export function renewDesired(desired: Desired, nowMs: number): Desired {
  const issuedMs = Math.max(nowMs, Date.parse(desired.issuedAt) + 1);
  return { ...desired, issuedAt: toInstant(issuedMs), expiresAt: toInstant(issuedMs + desiredLifetimeMs) };
}

/** All images a document names: what the device may fetch. */
export function imagesOf(desired: Desired): ImageReference[] {
  const modules = Object.values(desired.modules).flatMap(({ image, variants = [], shadow }) => [
    image,
    ...variants.map((variant) => variant.image),
    ...(shadow ? [shadow.image] : []),
  ]);
  const prefetch = desired.prefetch.flatMap(({ variants = [], ...image }) => [
    image,
    ...variants.map((variant) => variant.image),
  ]);
  return [...modules, ...prefetch];
}
