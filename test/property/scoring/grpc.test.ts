import { loadPackageDefinition, type MethodDefinition } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AppError } from '#shared/kernel/errors.js';
import { writeBytesElements } from '#shared/scoring/codec/bytes-elements.js';
import { readInferRequest } from '#shared/scoring/codec/infer-request.js';
import { encodeInferResponse } from '#shared/scoring/codec/infer-response.js';
import {
  bytesOf,
  type Datatype,
  datatypes,
  elementBytes,
  type NumericData,
  type Tensor,
  viewElements,
} from '#shared/scoring/codec/tensor.js';
import { answerMessageOf } from '#shared/scoring/grpc/infer-answer.js';
import { inferBodyOf } from '#shared/scoring/grpc/infer-body.js';
import { decode, encode } from '#shared/scoring/grpc/message-type.js';
import { modelInferRequest, modelInferResponse } from '#shared/scoring/grpc/messages.js';
import { protoFiles } from '#test/support/grpc-client.js';

const maxBytes = 1 << 20;

/** What others read and write messages with. */
const theirs = (() => {
  const options = { keepCase: true, longs: String, defaults: true };
  const loaded = loadPackageDefinition(loadSync([...protoFiles], options)) as unknown as {
    inference: { GRPCInferenceService: { service: { ModelInfer: MethodDefinition<object, InferAnswer> } } };
  };
  return loaded.inference.GRPCInferenceService.service.ModelInfer;
})();

interface InferAnswer {
  readonly outputs: readonly { readonly name: string; readonly datatype: string; readonly shape: readonly string[] }[];
  readonly raw_output_contents: readonly Buffer[];
}

/** Any bits are a value, but for BOOL; NaN included. */
const tensor = (name: string): fc.Arbitrary<Tensor> =>
  fc
    .tuple(fc.constantFrom(...datatypes), fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 3 }))
    .chain(([datatype, shape]): fc.Arbitrary<Tensor> => {
      const count = shape.reduce((product, dimension) => product * dimension, 1);
      const size = (width: number) => ({ minLength: count * width, maxLength: count * width });
      if (datatype === 'BYTES') {
        const texts = fc.array(fc.string({ unit: 'grapheme' }), size(1));
        return texts.map((data) => ({ name, datatype, shape, data }));
      }
      const max = datatype === 'BOOL' ? 1 : 255;
      return fc
        .uint8Array({ ...size(elementBytes(datatype)), max })
        .map((bytes) => ({ name, datatype, shape, data: viewElements(datatype, Uint8Array.from(bytes), count) }));
    });
const tensors = fc
  .integer({ min: 1, max: 4 })
  .chain((count) => fc.tuple(...Array.from({ length: count }, (_, index) => tensor(`t"${String(index)}`))));

const rawOf = ({ datatype, data }: Tensor): Uint8Array =>
  datatype === 'BYTES' ? writeBytesElements(data as string[]) : bytesOf(data as NumericData);

const fields: { readonly [D in Datatype]?: string } = {
  BOOL: 'bool_contents',
  UINT8: 'uint_contents',
  UINT16: 'uint_contents',
  UINT32: 'uint_contents',
  UINT64: 'uint64_contents',
  INT8: 'int_contents',
  INT16: 'int_contents',
  INT32: 'int_contents',
  INT64: 'int64_contents',
  FP32: 'fp32_contents',
  FP64: 'fp64_contents',
  BYTES: 'bytes_contents',
};

function contentsOf({ datatype, data }: Tensor): object {
  const elements = [...(data as Iterable<unknown>)].map((element) => {
    if (typeof element === 'bigint') return String(element);
    if (typeof element === 'string') return Buffer.from(element);
    return datatype === 'BOOL' ? element === 1 : element;
  });
  return { [fields[datatype] ?? '']: elements };
}

/** What the worker would read: tensors as bytes. */
function readBack(message: Buffer): { name: string; datatype: string; shape: readonly number[]; bytes: number[] }[] {
  const { body, jsonLength } = inferBodyOf(decode(modelInferRequest, message, maxBytes));
  const bytes = new Uint8Array(body.buffer, body.start, body.length);
  return readInferRequest(bytes, jsonLength).inputs.map(({ name, datatype, shape, data }) => ({
    name,
    datatype,
    shape,
    bytes: [...rawOf({ name, datatype, shape, data: data() })],
  }));
}
const plain = (one: Tensor) => ({ name: one.name, datatype: one.datatype, shape: one.shape, bytes: [...rawOf(one)] });
const headOf = ({ name, datatype, shape }: Tensor): object => ({ name, datatype, shape });

/** Runs, or is refused as a caller's fault. */
function onlyRefuses(act: () => void): void {
  try {
    act();
  } catch (error) {
    if (
      !(
        error instanceof AppError && ['score.invalid-input', 'request.too-large', 'module.not-yet'].includes(error.code)
      )
    )
      throw error;
  }
}

describe('a ModelInferRequest', () => {
  it('carries any tensors as raw contents', () => {
    fc.assert(
      fc.property(tensors, (list) => {
        const message = theirs.requestSerialize({ inputs: list.map(headOf), raw_input_contents: list.map(rawOf) });
        expect(readBack(message)).toEqual(list.map(plain));
      }),
    );
  });

  it('carries any tensors as typed contents, but for FP16', () => {
    // A NaN keeps no bits of its own on its way through JavaScript.
    const holds = (list: readonly Tensor[]): boolean =>
      list.every(({ datatype, data }) => datatype !== 'FP16' && ![...(data as Iterable<unknown>)].some(Number.isNaN));
    fc.assert(
      fc.property(tensors.filter(holds), (list) => {
        const inputs = list.map((one) => ({ ...headOf(one), contents: contentsOf(one) }));
        expect(readBack(theirs.requestSerialize({ inputs }))).toEqual(list.map(plain));
      }),
    );
  });

  it('has its first tensor on an address that needs no copy', () => {
    fc.assert(
      fc.property(fc.string(), (id) => {
        const inputs = [{ name: 'x', datatype: 'FP64', shape: [1] }];
        const message = theirs.requestSerialize({ id, inputs, raw_input_contents: [new Uint8Array(8)] });
        const { body, jsonLength } = inferBodyOf(decode(modelInferRequest, message, maxBytes));
        expect((body.start + jsonLength) % 8).toBe(0);
      }),
    );
  });

  it('keeps all digits of its integer parameters', () => {
    const parameters = { big: { int64_param: '9007199254740993' }, word: { string_param: 'a"' } };
    const { body, jsonLength } = inferBodyOf(
      decode(modelInferRequest, theirs.requestSerialize({ parameters }), maxBytes),
    );
    const json = Buffer.from(body.buffer, body.start, jsonLength).toString();
    expect(json).toContain('"big":9007199254740993,"word":"a\\""');
  });

  it('is refused as a bad request, and nothing worse, whatever its bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        onlyRefuses(() => inferBodyOf(decode(modelInferRequest, bytes, maxBytes)));
      }),
      { numRuns: 2000 },
    );
  });

  it('is refused or read where bytes of a good one are changed, lost or added', () => {
    const change = fc.record({ at: fc.nat(), byte: fc.integer({ min: 0, max: 255 }), cut: fc.nat({ max: 3 }) });
    fc.assert(
      fc.property(tensors, fc.boolean(), fc.array(change, { minLength: 1, maxLength: 4 }), (list, typed, changes) => {
        const inputs = list.map((one) => (typed ? { ...headOf(one), contents: contentsOf(one) } : headOf(one)));
        const raw_input_contents = typed ? [] : list.map(rawOf);
        let message: Buffer = theirs.requestSerialize({ model_name: 'm', id: 'i', inputs, raw_input_contents });
        for (const { at, byte, cut } of changes) {
          const where = at % (message.length + 1);
          message = Buffer.concat([message.subarray(0, where), Buffer.of(byte), message.subarray(where + cut)]);
        }
        onlyRefuses(() => readBack(message));
      }),
      { numRuns: 2000 },
    );
  });

  it('is refused when a small message stands for more than the limit, or for a million parts', () => {
    // Packed zeros of INT64: each a byte on the wire and eight once read.
    const zeros = Buffer.alloc(maxBytes / 4);
    const varint = (value: number): number[] => (value < 128 ? [value] : [(value & 127) | 128, ...varint(value >> 7)]);
    const part = (field: number, body: Buffer): Buffer =>
      Buffer.concat([Buffer.from([field * 8 + 2, ...varint(body.length)]), body]);
    const bomb = part(5, part(5, part(3, zeros)));
    expect(() => decode(modelInferRequest, bomb, maxBytes)).toThrow('larger than');
    for (const field of [4, 5, 6, 7]) {
      const parts = Buffer.alloc(2_000_000);
      for (let at = 0; at < parts.length; at += 2) parts[at] = field * 8 + 2;
      expect(() => decode(modelInferRequest, parts, maxBytes)).toThrow('parts');
    }
  });
});

describe('a ModelInferResponse', () => {
  it('carries any tensors that a worker gives, whether it wrote them as binary or as JSON', () => {
    fc.assert(
      fc.property(tensors, fc.boolean(), (list, binary) => {
        const inJson = (one: Tensor): boolean =>
          one.datatype !== 'FP16' &&
          [...(one.data as Iterable<unknown>)].every(
            (value) => !(typeof value === 'number' && (!Number.isFinite(value) || Object.is(value, -0))),
          );
        const outputs = list.map((one) => ({ tensor: one, binary: binary || !inJson(one) }));
        const encoded = encodeInferResponse({ modelName: 'm', modelVersion: '1', id: 'é', outputs });
        const answer = theirs.responseDeserialize(encode(modelInferResponse, answerMessageOf(encoded)));
        expect(answer).toMatchObject({ model_name: 'm', model_version: '1', id: 'é' });
        const back = answer.outputs.map(({ name, datatype, shape }, index) => ({
          name,
          datatype,
          shape: shape.map(Number),
          bytes: [...(answer.raw_output_contents[index] ?? [])],
        }));
        expect(back).toEqual(list.map(plain));
      }),
    );
  });

  it('is a failure of the model where what it is made of is no answer', () => {
    for (const text of ['[]', '{"outputs":[{"name":"y"}]}', 'x', '{"outputs":7}']) {
      expect(() => answerMessageOf({ body: new Uint8Array(Buffer.from(text)) })).toThrow('no V2 inference response');
    }
  });
});
