import * as z from 'zod';
import { compared, ratioField } from './gate-fields.js';
import { gateKind } from './gate-kind.js';
import { noReference, tooFew } from './judge-share.js';

const mebibyte = 1024 * 1024;

/** Resident memory of all scoring hosts of a device together: the mean over readings of the wave's devices. */
export const memoryGate = gateKind({
  fields: {
    ...compared,
    /** MiB. */
    maxMegabytes: z.number().positive().max(16_777_216).optional(),
    maxRatio: ratioField.optional(),
  },
  measure: () => 'memory of hosts',
  reference: ({ maxRatio, reference }) => (maxRatio === undefined ? undefined : reference),
  readsMachine: true,
  problem: ({ maxMegabytes, maxRatio }) =>
    maxMegabytes === undefined && maxRatio === undefined ? 'give maxMegabytes, maxRatio or both' : undefined,
  judge: ({ maxMegabytes, maxRatio, minSamples }, { candidate, reference }) => {
    const [own, before] = [candidate.memory, maxRatio === undefined ? undefined : reference.memory];
    const seen = {
      unit: 'bytes' as const,
      value: own.count === 0 ? null : own.sum / own.count,
      reference: before === undefined || before.count === 0 ? null : before.sum / before.count,
      ...{ samples: own.count, referenceSamples: before?.count },
    };
    const noun = 'readings';
    if (before !== undefined && before.count < minSamples) {
      const lack = noReference(before.count, minSamples, noun);
      return { ...seen, verdict: 'undecided', bound: null, lack };
    }
    const limits = [
      ...(maxMegabytes === undefined ? [] : [maxMegabytes * mebibyte]),
      ...(maxRatio === undefined || seen.reference === null ? [] : [seen.reference * maxRatio]),
    ];
    const bound = Math.min(...limits);
    if (own.count < minSamples || seen.value === null) {
      return { ...seen, bound, verdict: 'undecided', lack: tooFew(own.count, minSamples, noun) };
    }
    return { ...seen, bound, verdict: seen.value > bound ? 'fail' : 'pass' };
  },
});
