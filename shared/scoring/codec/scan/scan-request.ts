/**
 * Request bodies as clients write them, from bytes to what `JSON.parse` would give, with numeric data
 * already in typed arrays. Anything unusual (an escape in a name, a key twice or unknown, data of another
 * kind) gives undefined: the general parser then reads the body, and says what is wrong with it.
 */
import { elementCount, isDatatype, type ModelSignature } from '../tensor.js';
import { JsonScanner } from './json-scanner.js';
import { isScanned, scanNumbers, type ScannedNumbers } from './scan-numbers.js';

const openObject = 0x7b;
const openArray = 0x5b;
const quote = 0x22;

type Parsed = Record<string, unknown>;

/** @returns the object of a V2 request, each `data` a `ScannedNumbers` */
export function scanInferRequest(bytes: Uint8Array): Parsed | undefined {
  const scanner = new JsonScanner(bytes);
  const request = scanner.object((key) => {
    switch (key) {
      case 'id':
        return scanner.text();
      case 'inputs':
        return scanner.array(() => scanInput(scanner));
      case 'outputs':
      case 'parameters':
        return scanner.anything();
      default:
        return undefined;
    }
  });
  return scanner.ended() ? request : undefined;
}

function scanInput(scanner: JsonScanner): Parsed | undefined {
  let datatype: unknown;
  let shape: unknown;
  let dataAt = -1;
  const input = scanner.object((key) => {
    switch (key) {
      case 'name':
        return scanner.text();
      case 'datatype':
        datatype = scanner.text();
        return datatype;
      case 'shape':
        shape = scanner.integers();
        return shape;
      case 'parameters':
        return scanner.anything();
      case 'data':
        if (scanner.peek() !== openArray) return undefined;
        if (datatype !== undefined && shape !== undefined) return readData(scanner, datatype, shape);
        dataAt = scanner.at;
        return scanner.skipNumbers();
      default:
        return undefined;
    }
  });
  if (!input || dataAt < 0) return input;
  // The data stood before what says how to read it.
  const after = scanner.at;
  scanner.at = dataAt;
  const data = readData(scanner, datatype, shape);
  scanner.at = after;
  return data && { ...input, data };
}

function readData(scanner: JsonScanner, datatype: unknown, shape: unknown): ScannedNumbers | undefined {
  if (!isDatatype(datatype) || !isScanned(datatype) || !Array.isArray(shape)) return undefined;
  const data = scanNumbers(scanner.bytes, scanner.at, datatype, elementCount(shape as number[]));
  if (data) scanner.at += data.json.length;
  return data;
}

/** @returns the object of a plain request, each value a `ScannedNumbers` */
export function scanPlainRequest(bytes: Uint8Array, signature: ModelSignature): Parsed | undefined {
  const scanner = new JsonScanner(bytes);
  const request = scanner.object((key) => {
    const input = signature.inputs.find(({ name }) => name === key);
    const byte = scanner.peek();
    if (!input || byte === openObject || byte === quote || !isScanned(input.datatype)) return undefined;
    const known = input.shape.reduce<number>((count, size) => (typeof size === 'number' ? count * size : count), 1);
    const data = scanNumbers(bytes, scanner.at, input.datatype, known === 1 ? 0 : known);
    if (data) scanner.at += data.json.length;
    return data;
  });
  return scanner.ended() ? request : undefined;
}
