/** Values of named fields are left out of JSON, at any depth. Pure. */
import { isObject } from '../codec/infer-request.js';
import { redacted } from '../traffic/capture/captured-tensors.js';

/** Deeper JSON is kept as its size alone. */
const maxDepth = 64;

/**
 * @returns the value without what the names stand for: of a field of that name its value, of a tensor of that name, in
 * the form of the Open Inference Protocol, its data
 * @throws RangeError where it is nested too deep
 */
export function redactJson(value: unknown, names: ReadonlySet<string>, depth = 0): unknown {
  if (depth > maxDepth) throw new RangeError('nested too deep');
  if (Array.isArray(value)) return value.map((one: unknown) => redactJson(one, names, depth + 1));
  if (!isObject(value)) return value;
  const isNamed = typeof value['name'] === 'string' && names.has(value['name']);
  // By entries: a field may be called __proto__.
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) =>
      names.has(key) || (isNamed && key === 'data') ? [key, redacted] : [key, redactJson(inner, names, depth + 1)],
    ),
  );
}
