/** Holds what a module wants summarised against what its models have. Pure. */
import { AppError } from '#shared/kernel/errors.js';
import { nearest } from '#shared/kernel/names.js';
import type { ModuleManifest } from './module-manifest.js';
import type { OnnxSignature } from './onnx/read-onnx.js';
import { type TensorWatchOptions, watchedName } from './telemetry-options.js';

type Side = 'inputs' | 'outputs';

const numeric = /^(?:BOOL|U?INT\d+|FP\d+)$/;
const countable = /^(?:BOOL|U?INT\d+|BYTES)$/;

/**
 * @param signatures by the model's name
 * @throws AppError `module.invalid`: no such tensor or model, or a form that does not suit its type
 */
export function checkTelemetry(
  { telemetry, models }: ModuleManifest,
  signatures: ReadonlyMap<string, Pick<OnnxSignature, Side>>,
  where: string,
): void {
  for (const side of ['inputs', 'outputs'] as const) {
    const named = new Set<string>();
    for (const [index, watched] of (telemetry?.[side] ?? []).entries()) {
      const path = `telemetry.${side}.${String(index)}`;
      const refuse = (what: string): AppError => new AppError('module.invalid', `${where}: ${path}: ${what}`);
      const model = modelOf(watched, models, refuse);
      const name = watchedName(watched);
      if (named.has(name)) throw refuse(`"${name}" is named twice`);
      named.add(name);
      const tensors = signatures.get(model)?.[side] ?? [];
      const tensor = tensors.find((one) => one.name === watched.name);
      if (!tensor) throw refuse(absent(watched.name, model, side, tensors));
      const fits = watched.as === 'categories' ? countable : numeric;
      if (!fits.test(tensor.datatype)) {
        const instead = watched.as === 'categories' ? 'numbers or argmax' : 'categories';
        throw refuse(`"${tensor.name}" is ${tensor.datatype}, of which there are no ${watched.as}: use ${instead}`);
      }
    }
  }
}

function modelOf(
  { model }: TensorWatchOptions,
  models: ModuleManifest['models'],
  refuse: (what: string) => AppError,
): string {
  const names = models.map(({ name }) => name);
  const [only] = names;
  if (model === undefined && names.length === 1 && only !== undefined) return only;
  if (model === undefined) throw refuse(`say which model it is of: ${names.join(', ')}`);
  if (names.includes(model)) return model;
  throw refuse(`there is no model "${model}"${suggestion(model, names)}`);
}

function absent(name: string, model: string, side: Side, tensors: readonly { readonly name: string }[]): string {
  const names = tensors.map((tensor) => tensor.name);
  const what = side === 'inputs' ? 'input' : 'output';
  return `model "${model}" has no ${what} "${name}"${suggestion(name, names)}`;
}

function suggestion(typed: string, names: readonly string[]): string {
  const near = nearest(typed, names);
  return near === undefined ? `; it has ${names.slice(0, 8).join(', ')}` : `, did you mean "${near}"?`;
}
