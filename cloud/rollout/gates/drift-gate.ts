import * as z from 'zod';
import { nameSchema } from '#shared/protocol/primitives.js';
import { elementsOf } from '#shared/protocol/summary.js';
import { commonBins } from './common-bins.js';
import { compared, confidence, readTensor, tensorField } from './gate-fields.js';
import { gateKind } from './gate-kind.js';
import type { Judgement } from './gate-model.js';
import { noReference, tooFew } from './judge-share.js';
import { indexOfChance, samplesToTell, stabilityIndex } from './stability-index.js';
import { noTensor, ofKind } from './tensor-lack.js';

/** How far classes or scores are from those of the reference, by the population stability index. */
export const driftGate = gateKind({
  fields: {
    ...{ ...confidence, ...compared },
    module: nameSchema,
    tensor: tensorField,
    maxPsi: z.number().min(0.001).max(100).default(0.25),
  },
  measure: ({ tensor }) => `drift ${tensor}`,
  reference: ({ reference }) => reference,
  judge: ({ tensor, maxPsi, minSamples, confidence: sure }, evidence): Judgement => {
    const { module } = evidence;
    const { side, name } = readTensor(tensor);
    const [candidate, reference] = [evidence.candidate[side].get(name), evidence.reference[side].get(name)];
    const nothing = { verdict: 'undecided', unit: 'psi', value: null, reference: null, bound: maxPsi } as const;
    const samples = candidate === undefined ? 0 : elementsOf(candidate);
    const others = reference === undefined ? 0 : elementsOf(reference);
    const seen = { ...nothing, samples, referenceSamples: others };
    if (candidate === undefined) return { ...seen, lack: noTensor(module, tensor, evidence.candidate) };
    if (reference === undefined) {
      return { ...seen, lack: noTensor(module, tensor, evidence.reference, ' of what it had before') };
    }
    if (samples < minSamples) return { ...seen, lack: tooFew(samples, minSamples, 'elements') };
    if (others < minSamples) return { ...seen, lack: noReference(others, minSamples, 'elements') };
    const bins = commonBins(reference, candidate);
    if (bins === undefined) {
      return { ...seen, lack: ofKind(module, tensor, `${candidate.kind}, and told of it as ${reference.kind} before`) };
    }
    const value = stabilityIndex(bins.candidate, bins.reference);
    const count = bins.reference.length;
    // What chance makes of it must not fail it, nor must its absence be taken for likeness while chance could hide it.
    const chance = indexOfChance(count, samples, others, sure);
    if (value > maxPsi + chance) return { ...seen, value, verdict: 'fail' };
    if (value <= maxPsi && chance <= maxPsi) return { ...seen, value, verdict: 'pass' };
    const needed = samplesToTell(count, others, maxPsi, sure);
    const more =
      needed === undefined ? 'more to compare with' : `some ${String(Math.max(needed, samples + 1))} elements`;
    const text = `${String(samples)} elements: chance alone makes ${chance.toFixed(2)}; it takes ${more} to be sure`;
    return { ...seen, value, lack: { what: 'clarity', text, needed } };
  },
});
