/** Parts of a module's metrics, with zeros for the rest: what several tell of one image is added up. Pure. */
import type { ShadowMetrics } from '#shared/protocol/shadow.js';
import { emptySketch, encodeSketch } from '#shared/protocol/sketch.js';
import type { ModuleMetrics } from '#shared/protocol/stream.js';
import type { FrontImage } from '../../front/front-table.js';

type Image = Pick<FrontImage, 'digest' | 'version'>;

const nothing = { requests: 0, errors: {}, latencyMs: encodeSketch(emptySketch()) };

/** Requests are the front's to count: it sees those that no replica answered, and what callers wait for. */
export function insideOf({ digest, version, provider, stages, tensors }: ModuleMetrics): ModuleMetrics | undefined {
  const told = (stages !== undefined && stages.computeMs.count > 0) || (tensors !== undefined && tensors.samples > 0);
  if (!told) return undefined;
  return {
    ...{ digest, version, ...nothing },
    ...(provider === undefined ? {} : { provider }),
    ...(stages === undefined ? {} : { stages }),
    ...(tensors === undefined ? {} : { tensors }),
  };
}

export function comparedWith({ digest, version }: Image, shadow: ShadowMetrics): ModuleMetrics {
  return { digest, version, ...nothing, shadow };
}
