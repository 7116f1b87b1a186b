/**
 * Golden vectors: requests whose answers are known, run by the path of live requests on the device's
 * own execution provider before any traffic. Integers, booleans and strings must be equal, floats
 * within the module's tolerance.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '#shared/kernel/clock.js';
import { AppError, messageOf } from '#shared/kernel/errors.js';
import { encodeInferRequest, isObject, requestFromJson } from '../codec/infer-request.js';
import { readInferResponse, responseFromJson } from '../codec/infer-response.js';
import { formatType, type Tensor } from '../codec/tensor.js';
import { parseJsonText, partOf } from '../codec/json-text.js';
import type { HostedModule } from '../host-protocol.js';
import type { LoadedHostedModule } from './hosted-module.js';
import { jsonLengthOf } from '../codec/json-length.js';

type Tolerance = NonNullable<HostedModule['golden']>['tolerance'];

export interface GoldenProof {
  readonly vectors: number;
  /** Of all vectors, each the best of a few runs: what the first run of a shape costs is no measure. */
  readonly slowestMs: number | undefined;
}

/** A vector slower than the module allows is run again, at most so often, before it counts. */
const timedRuns = 3;

/**
 * @returns how many vectors agreed: all of them
 * @throws AppError `golden.mismatch`, `module.invalid` (the file), and what a run ended with
 */
export async function proveGolden(module: LoadedHostedModule, clock: Pick<Clock, 'monotonic'>): Promise<GoldenProof> {
  const golden = module.module.golden;
  if (!golden) return { vectors: 0, slowestMs: undefined };
  let slowestMs = 0;
  const vectors = await readVectors(join(module.module.folder, golden.file), golden.file);
  for (const { name, request, response } of vectors) {
    let fastestMs = Number.POSITIVE_INFINITY;
    let tensors: Tensor[] = [];
    for (let time = 0; time < timedRuns; time++) {
      const startedMs = clock.monotonic();
      tensors = await run(module, request);
      fastestMs = Math.min(fastestMs, clock.monotonic() - startedMs);
      if (fastestMs <= (golden.maxLatencyMs ?? Number.POSITIVE_INFINITY)) break;
    }
    slowestMs = Math.max(slowestMs, fastestMs);
    const answered = new Map(tensors.map((tensor) => [tensor.name, tensor]));
    for (const expected of response) {
      const got = answered.get(expected.name);
      if (!got) throw mismatch(module, name, `output "${expected.name}" did not come`);
      const difference = compare(expected, got, golden.tolerance);
      if (difference !== undefined) throw mismatch(module, name, `output "${expected.name}"${difference}`);
    }
  }
  return { vectors: vectors.length, slowestMs };
}

interface GoldenVector {
  readonly name: string;
  readonly request: readonly Tensor[];
  readonly response: readonly Tensor[];
}

async function readVectors(path: string, file: string): Promise<GoldenVector[]> {
  try {
    const json = parseJsonText(await readFile(path));
    if (!Array.isArray(json.value) || json.value.length === 0) throw new Error('it must be a JSON array of vectors');
    return json.value.map((vector: unknown, index): GoldenVector => {
      const name = isObject(vector) && typeof vector['name'] === 'string' ? vector['name'] : `#${String(index + 1)}`;
      try {
        const { inputs } = requestFromJson(partOf(json, index, 'request'), undefined);
        return {
          name,
          request: inputs.map((input) => ({ ...input, data: input.data() })),
          response: responseFromJson(partOf(json, index, 'response'), undefined),
        };
      } catch (error) {
        throw new Error(`vector "${name}": ${messageOf(error)}`, { cause: error });
      }
    });
  } catch (error) {
    throw new AppError('module.invalid', `golden vectors ${file}: ${messageOf(error)}`, { cause: error });
  }
}

/** As a client with binary tensors would ask. */
async function run(module: LoadedHostedModule, tensors: readonly Tensor[]): Promise<Tensor[]> {
  const { body: bytes, jsonLength } = encodeInferRequest(tensors);
  if (!module.script) {
    const body = { buffer: bytes.buffer, start: 0, length: bytes.length };
    const answer = await module.answer({ form: 'infer', body, jsonLength, abandoned: () => false });
    return readInferResponse(answer.body, answer.jsonLength);
  }
  const headers = {
    'content-type': 'application/octet-stream',
    'content-length': String(bytes.length),
    'inference-header-content-length': String(jsonLength),
  };
  const answer = await module.answerByScript('/infer', headers, 'golden', bytes);
  const chunks: Buffer[] = [];
  for await (const chunk of answer.body) chunks.push(chunk as Buffer);
  const body = new Uint8Array(Buffer.concat(chunks));
  if (answer.status !== 200) {
    throw new AppError('score.failed', `the script answered ${new TextDecoder().decode(body)}`);
  }
  return readInferResponse(body, jsonLengthOf(answer.headers));
}

/** What differs, as the end of a sentence; undefined when nothing does. */
function compare(expected: Tensor, got: Tensor, tolerance: Tolerance): string | undefined {
  const want = formatType(expected.datatype, expected.shape);
  const have = formatType(got.datatype, got.shape);
  if (want !== have) return ` is ${have}, expected ${want}`;
  const floating = expected.datatype === 'FP32' || expected.datatype === 'FP64';
  for (let index = 0; index < expected.data.length; index++) {
    const a = expected.data[index];
    const b = got.data[index];
    const agrees = floating ? within(Number(a), Number(b), tolerance) : a === b;
    if (!agrees) return `[${String(index)}] is ${String(b)}, expected ${String(a)}`;
  }
  return undefined;
}

function within(expected: number, got: number, { absolute, relative }: Tolerance): boolean {
  return Math.abs(expected - got) <= absolute + relative * Math.abs(expected);
}

function mismatch(module: LoadedHostedModule, vector: string, what: string): AppError {
  return new AppError(
    'golden.mismatch',
    `golden vector "${vector}" of module "${module.name}" version ${String(module.module.version)} on ${module.provider}: ${what}`,
    { details: { vector, provider: module.provider } },
  );
}
