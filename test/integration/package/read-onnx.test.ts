import { mkdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import * as z from 'zod';
import { AppError } from '#shared/kernel/errors.js';
import { readOnnx } from '#shared/package/onnx/read-onnx.js';
import { bytes, externalTensor, number, onnxModel, port, varint } from '#test/support/protobuf-writer.js';
import { temporaryFolder } from '#test/support/temporary-folder.js';

const fixtures = fileURLToPath(new URL('../../fixtures/models/', import.meta.url));
const tensors = z.array(
  z.object({ name: z.string(), datatype: z.string(), shape: z.array(z.union([z.number(), z.string()])) }),
);
const expectations = z.record(
  z.string(),
  z.object({
    irVersion: z.number().optional(),
    opset: z.number().optional(),
    producerName: z.string().optional(),
    producerVersion: z.string().optional(),
    inputs: tensors.optional(),
    outputs: tensors.optional(),
    externalData: z.array(z.string()).optional(),
  }),
);
const expected = expectations.parse(JSON.parse(await readFile(`${fixtures}expected.json`, 'utf8')));
const models = Object.entries(expected).filter(([, model]) => model.inputs !== undefined);

const folder = temporaryFolder();
let files = 0;
async function written(content: Uint8Array): Promise<string> {
  const path = folder(`${String(files++)}.onnx`);
  await writeFile(path, content);
  return path;
}
const readBytes = async (content: Uint8Array) => readOnnx(await written(content));
async function codeOf(content: Uint8Array): Promise<string> {
  try {
    await readBytes(content);
  } catch (error) {
    if (error instanceof AppError) return error.code;
    throw error;
  }
  return 'accepted';
}

describe('the reader of ONNX files', () => {
  it.each(models)('finds in %s what the onnx library finds', async (file, model) => {
    const { signature, externalFiles } = await readOnnx(`${fixtures}${file}`);
    expect(signature.inputs).toEqual(model.inputs);
    expect(signature.outputs).toEqual(model.outputs);
    expect(signature.irVersion).toBe(model.irVersion);
    expect(signature.opsets['ai.onnx']).toBe(model.opset);
    expect(signature.producer).toBe(`${String(model.producerName)} ${String(model.producerVersion)}`);
    expect(externalFiles).toEqual(model.externalData);
  });

  it("refuses onnxruntime's own format and more than protobuf holds, each with the remedy", async () => {
    const own = await written(Buffer.from('\x1c\0\0\0ORTM and what follows', 'latin1'));
    await expect(readOnnx(own)).rejects.toMatchObject({
      code: 'model.not-onnx',
      message: expect.stringContaining('give the .onnx file') as string,
    });
    const huge = await written(Buffer.of(8, 8));
    await truncate(huge, 2 ** 31);
    await expect(readOnnx(huge)).rejects.toMatchObject({
      code: 'model.invalid',
      message: expect.stringContaining('save_as_external_data') as string,
    });
  });

  it('finds metadata, and extents that lie within the file and apart from each other', async () => {
    const path = fileURLToPath(new URL('../../../modules/digits/model.onnx', import.meta.url));
    const { signature, tensors: extents } = await readOnnx(path);
    expect(signature.metadata).toMatchObject({ heldout_images: '360' });
    expect(extents.length).toBeGreaterThan(2);
    let end = 0;
    for (const extent of extents) {
      expect(extent.offset).toBeGreaterThanOrEqual(end);
      end = extent.offset + extent.length;
    }
    expect(end).toBeLessThanOrEqual((await readFile(path)).length);
  });

  it('finds where tensors lie in files of external data', async () => {
    const { externalTensors } = await readOnnx(`${fixtures}external/model.onnx`);
    expect(externalTensors.map(({ file }) => file)).toEqual(['weights.bin', 'weights.bin']);
    expect(externalTensors.every(({ length }) => length !== undefined && length > 0)).toBe(true);
  });

  it('says that a file of another format is no ONNX', async () => {
    await expect(readOnnx(`${fixtures}not-onnx.bin`)).rejects.toMatchObject({ code: 'model.not-onnx' });
  });

  it.each([
    ['an empty file', '', 'model.not-onnx'],
    ['a text', 'hello, I am a text\n', 'model.not-onnx'],
    ['JSON', '{"a": 1}', 'model.not-onnx'],
    ['a ZIP archive', 'PK\u0003\u0004\u0014\u0000\u0000\u0000\u0008\u0000', 'model.not-onnx'],
    ['HDF5', '\u0089HDF\r\n\u001a\n', 'model.not-onnx'],
  ])('refuses %s', async (_what, text, code) => {
    expect(await codeOf(Buffer.from(text, 'latin1'))).toBe(code);
  });

  it('says that a folder is not a file, and that a missing file is missing', async () => {
    await mkdir(folder('models.onnx'));
    await expect(readOnnx(folder('models.onnx'))).rejects.toMatchObject({ code: 'model.invalid' });
    await expect(readOnnx(folder('missing.onnx'))).rejects.toThrow(/there is no file .*missing\.onnx/);
  });

  it('names every kind of type', async () => {
    const tensor = (elementType: number): Buffer => bytes(1, number(1, elementType), bytes(2));
    const types: [Buffer, string][] = [
      [tensor(16), 'BF16'],
      [tensor(10), 'FP16'],
      [tensor(11), 'FP64'],
      [tensor(8), 'BYTES'],
      [tensor(9), 'BOOL'],
      [tensor(13), 'UINT64'],
      [tensor(99), 'UNKNOWN_99'],
      [bytes(4, bytes(1, tensor(1))), 'sequence(FP32)'],
      [bytes(5, number(1, 7), bytes(2, tensor(1))), 'map(INT64,FP32)'],
      [bytes(4, bytes(1, bytes(5, number(1, 8), bytes(2, tensor(1))))), 'sequence(map(BYTES,FP32))'],
      [bytes(9, bytes(1, tensor(6))), 'optional(INT32)'],
      [bytes(8, number(1, 1)), 'sparse(FP32)'],
      [bytes(7), 'OPAQUE'],
      [Buffer.alloc(0), 'UNDEFINED'],
    ];
    const graph = types.map(([type], index) => port(11, `x${String(index)}`, bytes(2, type)));
    const { signature } = await readBytes(onnxModel({ graph }));
    expect(signature.inputs.map(({ datatype }) => datatype)).toEqual(types.map(([, name]) => name));
  });

  it('tells free dimensions, free rank and scalars apart', async () => {
    const shape = bytes(
      2,
      bytes(1),
      bytes(1, number(1, 3)),
      bytes(1, bytes(2, 'N')),
      bytes(1, number(1, -1)),
      bytes(1, bytes(2)),
    );
    const graph = [
      port(11, 'dimensions', bytes(2, bytes(1, number(1, 1), shape))),
      port(11, 'rank', bytes(2, bytes(1, number(1, 1)))),
      port(11, 'scalar', bytes(2, bytes(1, number(1, 1), bytes(2)))),
    ];
    const { signature } = await readBytes(onnxModel({ graph }));
    expect(signature.inputs.map((input) => input.shape)).toEqual([[-1, 3, 'N', -1, -1], ['...'], []]);
  });

  it('finds external data of subgraphs, attributes, functions and sparse tensors', async () => {
    const tensorIn = (file: string): Buffer => externalTensor({ location: file });
    const subgraph = bytes(6, bytes(5, tensorIn('subgraph.bin')));
    const graph = [
      bytes(1, bytes(5, bytes(5, tensorIn('attribute.bin'))), bytes(5, subgraph)),
      bytes(15, bytes(1, tensorIn('sparse.bin'))),
    ];
    const rest = [bytes(25, bytes(7, bytes(5, bytes(10, tensorIn('function.bin')))))];
    const { externalFiles } = await readBytes(onnxModel({ graph, rest }));
    expect(externalFiles).toEqual(['attribute.bin', 'function.bin', 'sparse.bin', 'subgraph.bin']);
  });

  it.each(['/etc/passwd', '../secret', 'a/../../b', '..', 'C:\\x', 'a\\b', '', '.', '*/_ORT_MEM_ADDR_/*', 'a\u0000b'])(
    'refuses external data at %j',
    async (location) => {
      expect(await codeOf(onnxModel({ graph: [bytes(5, externalTensor({ location }))] }))).toBe('model.invalid');
    },
  );

  it.each<[string, Buffer]>([
    ['external data without a place', onnxModel({ graph: [bytes(5, externalTensor({ length: '4' }))] })],
    [
      'external data at a negative offset',
      onnxModel({ graph: [bytes(5, externalTensor({ location: 'w', offset: '-1' }))] }),
    ],
    ['a name that is not UTF-8', onnxModel({ graph: [bytes(11, bytes(1, Buffer.from([0xff, 0xfe])))] })],
    ['a name of a megabyte', onnxModel({ graph: [bytes(11, bytes(1, 'x'.repeat(2 ** 20)))] })],
    ['a graph that is a number', Buffer.concat([number(1, 8), number(7, 1)])],
    ['a text with a length of 2^63', Buffer.concat([number(1, 8), varint(2 * 8 + 2), varint(2n ** 63n)])],
    ['a text with a length of 2^64 - 1', Buffer.concat([number(1, 8), varint(2 * 8 + 2), varint(-1)])],
    ['a graph with a length of 2^40', Buffer.concat([number(1, 8), varint(7 * 8 + 2), varint(2n ** 40n)])],
    ['a number of eleven bytes', Buffer.concat([number(1, 8), Buffer.alloc(11, 0xff)])],
    ['a group', Buffer.concat([number(1, 8), varint(2 * 8 + 3)])],
    ['a field number 0', Buffer.concat([number(1, 8), varint(2), varint(0)])],
    [
      'a thousand dimensions',
      onnxModel({ graph: [port(11, 'x', bytes(2, bytes(1, bytes(2, ...Array<Buffer>(1000).fill(bytes(1))))))] }),
    ],
    [
      'a dimension of 2^60',
      onnxModel({ graph: [port(11, 'x', bytes(2, bytes(1, bytes(2, bytes(1, number(1, 2n ** 60n))))))] }),
    ],
    [
      'weights that go on after their tensor',
      Buffer.concat([
        number(1, 8),
        bytes(8, number(2, 17)),
        bytes(7, port(12, 'y'), bytes(5, bytes(8, 'w'), varint(9 * 8 + 2), varint(2 ** 20))),
      ]),
    ],
    ['a last field that goes on after the file', Buffer.concat([onnxModel(), varint(6 * 8 + 2), varint(10)])],
    ['no output', Buffer.concat([number(1, 8), bytes(7), bytes(8, number(2, 17))])],
    ['no operator set', Buffer.concat([number(1, 8), bytes(7, port(12, 'y'))])],
  ])('refuses %s', async (_what, content) => {
    expect(await codeOf(content)).toBe('model.invalid');
  });

  it('refuses types and graphs that are nested without end', async () => {
    let type = bytes(1, number(1, 1));
    let graph = bytes(2, 'innermost');
    for (let depth = 0; depth < 200; depth++) {
      type = bytes(4, bytes(1, type));
      graph = bytes(1, bytes(5, bytes(6, graph)));
    }
    expect(await codeOf(onnxModel({ graph: [port(11, 'x', bytes(2, type))] }))).toBe('model.invalid');
    expect(await codeOf(onnxModel({ graph: [graph] }))).toBe('model.invalid');
  });

  it('keeps metadata with names of the language itself', async () => {
    const entry = (key: string, value: string): Buffer => bytes(14, bytes(1, key), bytes(2, value));
    const { signature } = await readBytes(onnxModel({ rest: [entry('__proto__', 'a'), entry('constructor', 'b')] }));
    expect(Object.entries(signature.metadata)).toEqual([
      ['__proto__', 'a'],
      ['constructor', 'b'],
    ]);
    expect(Object.getPrototypeOf(signature.metadata)).toBe(Object.prototype);
  });

  it('says how long a metadata value is that it does not keep', async () => {
    const rest = [bytes(14, bytes(1, 'large'), bytes(2, 'x'.repeat(70_000)))];
    const { signature } = await readBytes(onnxModel({ rest }));
    expect(signature.metadata).toEqual({ large: '(70000 bytes)' });
  });

  it('reads headers that lie across the borders of what it reads at once', async () => {
    // Each padding moves what follows by one byte, over the whole of a header.
    for (let padding = 32 * 1024 - 40; padding < 32 * 1024 + 4; padding++) {
      const graph = [
        bytes(10, Buffer.alloc(padding)),
        port(11, 'x'),
        bytes(5, bytes(8, 'w'), bytes(9, Buffer.alloc(5000))),
      ];
      const { signature, tensors: extents } = await readBytes(onnxModel({ graph }));
      expect([signature.inputs[0]?.name, extents[0]?.length]).toEqual(['x', 5000]);
    }
  });
});
