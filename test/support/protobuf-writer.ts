/** Writes protobuf fields, to make ONNX files that no library would write. */

export function varint(value: bigint | number): Buffer {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  do {
    const low = Number(rest & 0x7fn);
    rest >>= 7n;
    bytes.push(rest === 0n ? low : low | 0x80);
  } while (rest !== 0n);
  return Buffer.from(bytes);
}

export function number(field: number, value: bigint | number): Buffer {
  return Buffer.concat([varint(field * 8), varint(value)]);
}

export function bytes(field: number, ...content: (Uint8Array | string)[]): Buffer {
  const body = Buffer.concat(content.map((part) => (typeof part === 'string' ? Buffer.from(part) : part)));
  return Buffer.concat([varint(field * 8 + 2), varint(body.length), body]);
}

/** ValueInfoProto with a tensor type of FP32 and free shape. */
export function port(field: number, name: string, type = bytes(2, bytes(1, number(1, 1), bytes(2)))): Buffer {
  return bytes(field, bytes(1, name), type);
}

/** ModelProto with one output; `graph` are further fields of its graph, `rest` of the model. */
export function onnxModel(options: { graph?: Uint8Array[]; rest?: Uint8Array[] } = {}): Buffer {
  return Buffer.concat([
    number(1, 8),
    ...(options.rest ?? []),
    bytes(7, ...(options.graph ?? []), port(12, 'y')),
    bytes(8, number(2, 17)),
  ]);
}

/** TensorProto in another file. */
export function externalTensor(entries: Readonly<Record<string, string>>): Buffer {
  return Buffer.concat([
    bytes(8, 'w'),
    ...Object.entries(entries).map(([key, value]) => bytes(13, bytes(1, key), bytes(2, value))),
    number(14, 1),
  ]);
}
