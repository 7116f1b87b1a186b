/** How far what came in and went out on two sides is apart, tensor by tensor. Pure. */
import { elementsOf, type Summary } from '#shared/protocol/summary.js';
import type { DriftBody } from '#cloud/http/schemas/compare.js';
import { commonBins } from '#cloud/rollout/gates/common-bins.js';
import { indexOfChance, samplesToTell, stabilityIndex } from '#cloud/rollout/gates/stability-index.js';
import type { ModuleNumbers } from '#cloud/telemetry/cohort-numbers.js';

type Tensors = Pick<ModuleNumbers, 'inputs' | 'outputs'>;

/** By custom: below it nothing has changed, and from it on much has. */
const smallPsi = 0.1;
const largePsi = 0.25;
const fewElements = 100;
const confidence = 0.95;

/** Inputs first, each side by name. */
export function driftBetween(endpoint: Tensors, devices: Tensors): DriftBody[] {
  return (['inputs', 'outputs'] as const).flatMap((side) => {
    const names = [...new Set([...endpoint[side].keys(), ...devices[side].keys()])].sort();
    const word = side === 'inputs' ? 'input' : 'output';
    return names.map((name) => driftOf(`${word}.${name}`, endpoint[side].get(name), devices[side].get(name)));
  });
}

function driftOf(tensor: string, endpoint: Summary | undefined, devices: Summary | undefined): DriftBody {
  const elements = {
    endpoint: endpoint === undefined ? 0 : elementsOf(endpoint),
    devices: devices === undefined ? 0 : elementsOf(devices),
  };
  const nothing = { tensor, psi: null, elements };
  if (!endpoint || !devices || elements.endpoint === 0 || elements.devices === 0) {
    const where = elements.endpoint === 0 ? 'the endpoint' : 'the devices';
    return { ...nothing, verdict: 'one-sided', text: `${where} told nothing of it` };
  }
  const bins = commonBins(devices, endpoint);
  if (bins === undefined) {
    return { ...nothing, verdict: 'one-sided', text: 'numbers on one side, categories on the other' };
  }
  const least = Math.min(elements.endpoint, elements.devices);
  const psi = stabilityIndex(bins.candidate, bins.reference);
  const chance = indexOfChance(bins.reference.length, elements.endpoint, elements.devices, confidence);
  const told = { tensor, psi, elements };
  if (least < fewElements) {
    return {
      ...told,
      verdict: 'too-few',
      text: `${String(least)} elements on one side: ${String(fewElements)} say something`,
    };
  }
  if (psi > largePsi + chance) return { ...told, verdict: 'large', text: 'much apart' };
  if (psi > smallPsi + chance) return { ...told, verdict: 'some', text: 'somewhat apart' };
  if (psi <= smallPsi && chance <= smallPsi) return { ...told, verdict: 'alike', text: 'alike' };
  const most = Math.max(elements.endpoint, elements.devices);
  const needed = samplesToTell(bins.reference.length, most, smallPsi, confidence);
  const more = needed === undefined || needed <= least ? 'more on both sides' : `some ${String(needed)} elements`;
  return { ...told, verdict: 'unclear', text: `chance alone makes ${chance.toFixed(2)}; ${more} would say` };
}
