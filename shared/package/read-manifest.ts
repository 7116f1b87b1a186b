/** Reads `module.yaml`. Strict: an unknown field is an error that names the nearest valid one. */
import * as z from 'zod';
import { AppError } from '#shared/kernel/errors.js';
import { nearest } from '#shared/kernel/names.js';
import { canonicalJson } from '#shared/protocol/canonical-json.js';
import { decodeJson } from '#shared/protocol/decode.js';
import { moduleRoutes, ownRouteProblems } from './routes/check-routes.js';
import { readStrictYaml } from './strict-yaml.js';
import { moduleManifestSchema, notYetFields, notYetFlavors, type ModuleManifest } from './module-manifest.js';

export const maxManifestBytes = 64 * 1024;

/**
 * @param where the file's path, for messages
 * @throws AppError `module.invalid`, or `module.not-yet` for what the design knows and nobody built
 */
export function readModuleManifest(yamlText: string, where: string): ModuleManifest {
  return checkModuleManifest(parseYaml(yamlText, where), where);
}

/** The manifest as it lies in an image: {@link encodeModuleManifest}. */
export function decodeModuleManifest(bytes: Uint8Array, where: string): ModuleManifest {
  const decoded = decodeJson(bytes, maxManifestBytes);
  if (!decoded.ok) throw invalid(where, decoded.error.message);
  return checkModuleManifest(decoded.value, where);
}

/** Defaults filled in, keys sorted: equal manifests are equal bytes, and still YAML. */
export function encodeModuleManifest(manifest: ModuleManifest): Uint8Array {
  return Buffer.from(`${canonicalJson(manifest)}\n`);
}

function checkModuleManifest(value: unknown, where: string): ModuleManifest {
  refuseNotYet(value, where);
  const parsed = moduleManifestSchema.safeParse(value);
  if (!parsed.success) throw invalid(where, describe(parsed.error));
  refuseClashes(parsed.data, where);
  refuseRoutes(parsed.data, where);
  return parsed.data;
}

function parseYaml(text: string, where: string): unknown {
  if (Buffer.byteLength(text) > maxManifestBytes) {
    throw invalid(where, `larger than ${String(maxManifestBytes)} bytes`);
  }
  return readStrictYaml(text, ({ what, line, cause }) => {
    const at = line === undefined ? '' : ` at line ${String(line)}`;
    return new AppError('module.invalid', `${where}: not YAML: ${what}${at}`, { cause });
  }).value;
}

function refuseNotYet(value: unknown, where: string): void {
  if (typeof value !== 'object' || value === null) return;
  if ('flavor' in value) {
    const flavor = notYetFlavors.find((known) => known === value.flavor);
    if (flavor !== undefined) {
      throw notYet(where, `flavor "${flavor}" is not built yet; flavors are onnx and node`);
    }
  }
  const field = notYetFields.find((known) => Object.hasOwn(value, known));
  if (field !== undefined) throw notYet(where, `the field "${field}" is not built yet; leave it out`);
}

function refuseClashes(manifest: ModuleManifest, where: string): void {
  const names = new Set<string>();
  const files = new Set<string>();
  for (const model of manifest.models) {
    if (names.has(model.name)) throw invalid(where, `two models are named "${model.name}"`);
    if (files.has(model.file)) throw invalid(where, `two models have the file ${model.file}`);
    names.add(model.name);
    files.add(model.file);
  }
}

function refuseRoutes(manifest: ModuleManifest, where: string): void {
  const [first] = ownRouteProblems(moduleRoutes(manifest), manifest.name);
  if (first !== undefined) throw invalid(where, `routes.${first.route}: ${first.message}`);
}

function describe(error: z.ZodError): string {
  return error.issues.flatMap(asMeant).slice(0, 3).map(describeIssue).join('; ');
}

function describeIssue(issue: z.core.$ZodIssue): string {
  const path = issue.path.map(String).join('.');
  return `${path === '' ? '' : `${path}: `}${issue.code === 'unrecognized_keys' ? unknownKeys(issue) : issue.message}`;
}

/** Of several forms that something may have, what the nearest says: the one with least against it. */
function asMeant(issue: z.core.$ZodIssue): z.core.$ZodIssue[] {
  if (issue.code !== 'invalid_union') return [issue];
  const forms = issue.errors.map((issues) =>
    issues.map((inner) => ({ ...inner, path: [...issue.path, ...inner.path] })),
  );
  const [best] = forms.filter(([first]) => first !== undefined && !isAnotherKind(first, issue.path)).sort(fewest);
  return best === undefined ? [issue] : best.flatMap(asMeant);
}

/** A text where the form is a section, or the other way round. */
function isAnotherKind(first: z.core.$ZodIssue, path: readonly PropertyKey[]): boolean {
  return first.path.length === path.length && (first.code === 'invalid_type' || first.code === 'invalid_value');
}

function fewest(a: readonly unknown[], b: readonly unknown[]): number {
  return a.length - b.length;
}

function unknownKeys(issue: z.core.$ZodIssueUnrecognizedKeys): string {
  const valid = validKeys(issue.path);
  return issue.keys
    .map((key) => {
      const suggestion = nearest(key, valid);
      if (suggestion === key) return `"${key}" does not go with what stands beside it`;
      return `unknown field "${key.slice(0, 64)}"${suggestion === undefined ? '' : `, did you mean "${suggestion}"?`}`;
    })
    .join('; ');
}

/** The fields that may stand at a place of the manifest, whatever the flavor. */
function validKeys(path: readonly PropertyKey[]): string[] {
  let places: z.core.$ZodType[] = [...moduleManifestSchema.options];
  for (const part of path) places = places.flatMap((place) => below(place, part));
  return [...new Set(places.flatMap((place) => Object.keys(shapeOf(place))))];
}

function below(place: z.core.$ZodType, part: PropertyKey): z.core.$ZodType[] {
  const plain = withoutDefault(place);
  if (plain instanceof z.ZodArray) return [plain.element];
  if (plain instanceof z.ZodRecord) return [plain.valueType];
  if (plain instanceof z.ZodUnion) return plain.options.flatMap((option) => below(option, part));
  const next = shapeOf(plain)[String(part)];
  return next === undefined ? [] : [next];
}

type Shape = Readonly<Record<string, z.core.$ZodType>>;

function shapeOf(place: z.core.$ZodType): Shape {
  const plain = withoutDefault(place);
  if (plain instanceof z.ZodUnion) return Object.assign({}, ...plain.options.map(shapeOf)) as Shape;
  return plain instanceof z.ZodObject ? plain.shape : {};
}

function withoutDefault(place: z.core.$ZodType): z.core.$ZodType {
  const wrapped = place instanceof z.ZodOptional || place instanceof z.ZodDefault || place instanceof z.ZodPrefault;
  return wrapped ? withoutDefault(place.unwrap()) : place;
}

function invalid(where: string, what: string): AppError {
  return new AppError('module.invalid', `${where}: ${what}`);
}

function notYet(where: string, what: string): AppError {
  return new AppError('module.not-yet', `${where}: ${what}`);
}
