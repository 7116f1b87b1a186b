/** Pure: which registered model stands for which model of a manifest. */
import { AppError } from '#shared/kernel/errors.js';
import { nearest, type Reference } from '#shared/kernel/names.js';
import type { ModuleManifest } from '#shared/package/module-manifest.js';
import { parseModelReference } from './argument-parsers.js';

export interface AssignedModel {
  /** The name in the manifest. */
  readonly name: string;
  readonly reference: Reference;
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
  const assigned = new Map<string, Reference>();
  for (const text of texts) {
    const equals = text.indexOf('=');
    const reference = parseModelReference(text.slice(equals + 1));
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
    assigned.set(name, reference);
  }
  return [...assigned].map(([name, reference]) => ({ name, reference }));
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
