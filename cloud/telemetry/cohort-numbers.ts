/** What versions of one module did on some devices, as numbers that add: what quality gates judge by. Pure. */
import { decodeSketch, emptySketch, type EncodedSketch, mergeSketch, type Sketch } from '#shared/protocol/sketch.js';
import { decodeSummary, type EncodedSummary, mergeSummary, type Summary } from '#shared/protocol/summary.js';
import type { ModuleSpan } from './measure.js';
import { readDetail } from './module-detail.js';

export interface ModuleNumbers {
  /** Devices that told something of it. */
  devices: number;
  requests: number;
  readonly errors: Map<string, number>;
  /** Milliseconds, of answered requests. */
  readonly latency: Sketch;
  readonly inputs: Map<string, Summary>;
  readonly outputs: Map<string, Summary>;
  /** Readings of all scoring hosts' resident bytes, while these versions answered. */
  readonly memory: { count: number; sum: number };
}

export function noNumbers(): ModuleNumbers {
  return {
    ...{ devices: 0, requests: 0, errors: new Map(), latency: emptySketch() },
    ...{ inputs: new Map(), outputs: new Map(), memory: { count: 0, sum: 0 } },
  };
}

export function addSpan(into: ModuleNumbers, { requests, errorsJson, latencyJson, detailJson }: ModuleSpan): void {
  into.requests += requests;
  if (errorsJson !== '{}') {
    for (const [code, count] of Object.entries(JSON.parse(errorsJson) as Record<string, number>)) {
      addCount(into.errors, code, count);
    }
  }
  // A device may have sent a sketch that is none; its counts still count.
  const sketch = decodeSketch(JSON.parse(latencyJson) as EncodedSketch);
  if (sketch) mergeSketch(into.latency, sketch);
  const { tensors } = readDetail(detailJson);
  addEncoded(into.inputs, tensors?.inputs);
  addEncoded(into.outputs, tensors?.outputs);
}

export function addNumbers(into: ModuleNumbers, from: ModuleNumbers): void {
  into.devices += from.devices;
  into.requests += from.requests;
  for (const [code, count] of from.errors) addCount(into.errors, code, count);
  mergeSketch(into.latency, from.latency);
  for (const [name, summary] of from.inputs) addSummary(into.inputs, name, summary);
  for (const [name, summary] of from.outputs) addSummary(into.outputs, name, summary);
  into.memory.count += from.memory.count;
  into.memory.sum += from.memory.sum;
}

function addEncoded(into: Map<string, Summary>, encoded: Readonly<Record<string, EncodedSummary>> = {}): void {
  for (const [name, one] of Object.entries(encoded)) {
    const summary = decodeSummary(one);
    if (summary) addSummary(into, name, summary);
  }
}

function addSummary(into: Map<string, Summary>, name: string, summary: Summary): void {
  const before = into.get(name);
  if (before) mergeSummary(before, summary);
  else into.set(name, summary);
}

function addCount(into: Map<string, number>, code: string, count: number): void {
  into.set(code, (into.get(code) ?? 0) + count);
}
