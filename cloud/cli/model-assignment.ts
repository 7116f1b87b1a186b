/** Pure: which registered model stands for which model of a manifest. */
import { AppError } from '#shared/kernel/errors.js';
import { nearest, type Reference } from '#shared/kernel/names.js';
import type { ModuleManifest } from '#shared/package/module-manifest.js';
import { digestSchema } from '#shared/protocol/primitives.js';
import { parseModelReference } from './argument-parsers.js';

export interface AssignedModel {
  /** The name in the manifest. */
  readonly name: string;
  readonly reference: Reference;
  /** The digest that its graph must have, where the caller said one. */
  readonly pin?: string;
}

/**
 * `name=digits:1` says which. `digits:1` alone is for the manifest's only model, or the one of the
 * same name.
 */
export function assignModels(
  manifest: Pick<ModuleManifest, 'name' | 'models'>,
  texts: readonly string[],
): readonly AssignedModel[] {
  const names = manifest.models.map(({ name }) => name);
  const assigned = new Map<string, Omit<AssignedModel, 'name'>>();
  for (const text of texts) {
    const equals = text.indexOf('=');
    const [referenceText = '', pin] = text.slice(equals + 1).split('@', 2);
    const reference = parseModelReference(referenceText);
    if (pin !== undefined && !digestSchema.safeParse(pin).success) {
      throw new AppError(
        'request.invalid',
        `--model ${text}: after @ stands a whole digest, sha256: and 64 hex digits`,
      );
    }
    const name = equals < 0 ? impliedName(manifest.name, names, reference, text) : text.slice(0, equals);
    if (!names.includes(name)) {
      const near = nearest(name, names);
      throw new AppError(
        'request.invalid',
        `--model ${text}: module ${manifest.name} has no model "${name}"; ${near === undefined ? `it has ${names.join(', ')}` : `did you mean ${near}?`}`,
      );
    }
    if (assigned.has(name)) {
      throw new AppError('request.invalid', `--model ${text}: the model "${name}" is given twice; give it once`);
    }
    assigned.set(name, { reference, ...(pin === undefined ? {} : { pin }) });
  }
  return [...assigned].map(([name, model]) => ({ name, ...model }));
}

function impliedName(module: string, names: readonly string[], reference: Reference, text: string): string {
  if (names.includes(reference.name)) return reference.name;
  const [only] = names;
  if (names.length === 1 && only !== undefined) return only;
  throw new AppError(
    'request.invalid',
    `--model ${text}: module ${module} has the models ${names.join(', ')}; say which, for example --model ${names[0] ?? 'name'}=${text}`,
  );
}

/** The caller's own files: `name=file`, or `file` alone for the manifest's only model. */
export function assignModelFiles(
  manifest: Pick<ModuleManifest, 'name' | 'models'>,
  texts: readonly string[],
): Record<string, string> {
  const names = manifest.models.map(({ name }) => name);
  const assigned = new Map<string, string>();
  for (const text of texts) {
    const named = names.find((name) => text.startsWith(`${name}=`));
    const [only] = names;
    const name = named ?? (names.length === 1 ? only : undefined);
    if (name === undefined) {
      throw new AppError(
        'request.invalid',
        `--model-file ${text}: module ${manifest.name} has the models ${names.join(', ')}; say which, for example --model-file ${names[0] ?? 'name'}=${text}`,
      );
    }
    if (assigned.has(name)) {
      throw new AppError('request.invalid', `--model-file ${text}: the model "${name}" is given twice; give it once`);
    }
    assigned.set(name, named === undefined ? text : text.slice(named.length + 1));
  }
  return Object.fromEntries(assigned);
}
