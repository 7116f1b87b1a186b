/** What is measured: models, and what is asked of them. */
import { existsSync } from 'node:fs';
import { copyFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { digitsFolder, fixtures, repository } from '#test/support/scoring-harness.js';
import { mobilenetModel } from '#test/support/mobilenet.js';
import type { ModelName } from './options.js';
import type { BenchTensor, Form } from './wire.js';

/** Where `test/bench/peers/install` puts what is not ours. */
export const peersFolder = join(repository, '.cache/bench-peers');

export interface Subject {
  readonly model: ModelName;
  readonly file: string;
  readonly forms: readonly Form[];
  readonly inputs: readonly BenchTensor[];
  /** Outputs that a client gives back as inputs of its next request. */
  readonly carried: Readonly<Record<string, string>>;
  /** Rows a run of the bare loop that are tried for its best rate. */
  readonly bareRows: readonly number[];
}

interface Source {
  readonly forms: readonly Form[];
  readonly inputs: readonly BenchTensor[];
  readonly carried?: Readonly<Record<string, string>>;
  readonly bareRows?: readonly number[];
  /** Absolute path of the model, made where need be; undefined where it is not there. */
  readonly place: (folder: string) => Promise<string | undefined>;
}

const sources: Readonly<Record<ModelName, Source>> = {
  mlp: {
    forms: ['JSON', 'binary'],
    inputs: [tensor('x', [1, 64], 11)],
    bareRows: [1, 8, 32, 128],
    place: async (folder) => copied(join(fixtures, 'mlp-64.onnx'), join(folder, 'mlp.onnx')),
  },
  digits: {
    forms: ['JSON', 'binary'],
    inputs: [tensor('image', [1, 1, 8, 8], 12)],
    place: async (folder) => copied(join(digitsFolder, 'model.onnx'), join(folder, 'digits.onnx')),
  },
  mobilenet: {
    forms: ['binary'],
    inputs: [tensor('x', [1, 3, 224, 224], 13)],
    place: async (folder) => {
      const path = join(folder, 'mobilenet.onnx');
      await writeFile(path, mobilenetModel());
      return path;
    },
  },
  silero: {
    forms: ['binary'],
    inputs: [
      tensor('input', [1, 576], 14),
      { name: 'state', datatype: 'FP32', shape: [2, 1, 128], data: Array<number>(256).fill(0) },
      { name: 'sr', datatype: 'INT64', shape: [], data: [16_000] },
    ],
    carried: { stateN: 'state' },
    place: async (folder) => {
      const fetched = join(peersFolder, 'silero_vad_v5.onnx');
      return existsSync(fetched) ? copied(fetched, join(folder, 'silero.onnx')) : undefined;
    },
  },
};

/** @returns undefined for a model that is not on this machine */
export async function placeSubject(model: ModelName, folder: string): Promise<Subject | undefined> {
  const { place, carried = {}, bareRows = [1], ...source } = sources[model];
  const file = await place(folder);
  return file === undefined ? undefined : { model, file, carried, bareRows, ...source };
}

async function copied(from: string, to: string): Promise<string> {
  await copyFile(from, to);
  return to;
}

/** Numbers as sensors give them: between 0 and 1, four digits. */
function tensor(name: string, shape: readonly number[], seed: number): BenchTensor {
  let state = seed;
  const data = Array.from({ length: shape.reduce((product, size) => product * size, 1) }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.round((state / 2 ** 32) * 1e4) / 1e4;
  });
  return { name, datatype: 'FP32', shape, data };
}
