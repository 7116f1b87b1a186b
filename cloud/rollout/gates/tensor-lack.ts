/** What a gate says that finds no numbers of a tensor. Pure. */
import type { ModuleNumbers } from '#cloud/telemetry/cohort-numbers.js';
import type { Lack } from './gate-model.js';
import { tooFew } from './judge-share.js';

/** Nothing was asked of it yet, or nobody looks at what it is asked. */
export function noTensor(module: string, tensor: string, { requests }: ModuleNumbers, whose = ''): Lack {
  if (requests === 0) return tooFew(0, 1, `requests${whose}`);
  const text = `${module} tells nothing of ${tensor}${whose}: ask for it under telemetry in its module.yaml`;
  return { what: 'tensor', text };
}

export function ofKind(module: string, tensor: string, is: string): Lack {
  return { what: 'tensor', text: `${module} tells of ${tensor} as ${is}` };
}
