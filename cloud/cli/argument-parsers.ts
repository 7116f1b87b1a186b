/** From what was typed to values. Every complaint names the argument, what is wrong with it, and a right one. */
import { AppError } from '#shared/kernel/errors.js';
import { isName, parseReference, type Reference } from '#shared/kernel/names.js';
import { digestSchema } from '#shared/protocol/primitives.js';
import type { JsonSettings } from './deploy-settings.js';

type JsonValue = JsonSettings[string];

const unitMs = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
type Unit = keyof typeof unitMs;

/** `10m`, `1h30m`, `90s`, `2d`, `500ms`: whole numbers, units falling, each at most once. */
export function parseDurationMs(text: string): number {
  const match = /^(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+)s)?(?:(\d+)ms)?$/.exec(text);
  const units: readonly Unit[] = ['d', 'h', 'm', 's', 'ms'];
  let total = 0;
  for (const [index, unit] of units.entries()) total += Number(match?.[index + 1] ?? 0) * unitMs[unit];
  if (match === null || text === '' || !Number.isSafeInteger(total)) {
    throw invalid(`"${shown(text)}" is no duration; write for example 90s, 10m, 1h30m or 2d`);
  }
  return total;
}

/** A duration for routes that count in seconds; at least one. */
export function parseDurationSeconds(text: string): number {
  const seconds = Math.ceil(parseDurationMs(text) / 1000);
  if (seconds < 1) throw invalid(`"${shown(text)}" is too short; the least is 1s`);
  return seconds;
}

/** A time with its zone, `2026-12-01T03:00Z` or `…+01:00`. @returns in UTC, as it goes over the wire */
export function parseInstant(text: string, flag: string): string {
  const at = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)$/.test(text) ? Date.parse(text) : Number.NaN;
  if (!Number.isNaN(at)) return new Date(at).toISOString();
  throw invalid(`${flag} "${shown(text)}" is no time with a zone; write for example 2026-12-01T03:00Z`);
}

const tagName = /^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$/;

/** `k=v`, the value possibly empty. */
export function parseTags(texts: readonly string[]): Record<string, string> {
  const tags = new Map<string, string>();
  for (const text of texts) {
    const [key, value] = splitPair(text, 'stage=dev');
    checkTag(key, text);
    if (tags.has(key)) throw invalid(`${key} is given twice; give it once`);
    tags.set(key, value);
  }
  return Object.fromEntries(tags);
}

/** `k=v` sets, `k-` removes. */
export function parseTagChanges(texts: readonly string[]): Record<string, string | null> {
  const changes = new Map<string, string | null>();
  for (const text of texts) {
    const removal = !text.includes('=') && text.endsWith('-');
    const [key, value] = removal ? [text.slice(0, -1), null] : splitPair(text, 'stage=dev, or stage- to remove it');
    checkTag(key, text);
    if (changes.has(key)) throw invalid(`${key} is given twice; give it once`);
    changes.set(key, value);
  }
  return Object.fromEntries(changes);
}

function checkTag(key: string, text: string): void {
  if (!tagName.test(key)) {
    throw invalid(
      `"${shown(text)}": a tag's name is 1 to 63 of letters, digits, ".", "_", "-" and "/", starting with a letter or digit`,
    );
  }
}

/** `key=json`. */
export function parseSettings(texts: readonly string[]): Record<string, unknown> {
  const settings = new Map<string, unknown>();
  for (const text of texts) {
    const [key, value] = splitPair(text, 'threshold=0.8');
    if (settings.has(key)) throw invalid(`${key} is given twice; give it once`);
    try {
      settings.set(key, JSON.parse(value) as unknown);
    } catch (error) {
      throw new AppError(
        'request.invalid',
        `"${shown(text)}": the value is not JSON; a text needs quotes, for example ${key}='"${shown(value)}"'`,
        { cause: error },
      );
    }
  }
  return Object.fromEntries(settings);
}

function splitPair(text: string, example: string): [string, string] {
  const equals = text.indexOf('=');
  if (equals < 1) throw invalid(`"${shown(text)}" is no name=value; write for example ${example}`);
  return [text.slice(0, equals), text.slice(equals + 1)];
}

/** `digits:1` of a model. */
export function parseModelReference(text: string): Reference {
  const reference = parseReference(text);
  if (reference) return reference;
  throw invalid(`"${shown(text)}" names no model version; write for example ${isName(text) ? text : 'digits'}:1`);
}

/** `digits:1` or `sha256:…` of an image. */
export function parseImageReference(text: string): string {
  if (parseReference(text) || digestSchema.safeParse(text).success) return text;
  throw invalid(
    `"${shown(text)}" names no image; write for example ${isName(text) ? text : 'digits'}:1, or its whole digest sha256:…`,
  );
}

/** `vision:2` of a release. */
export function parseReleaseReference(text: string): string {
  if (parseReference(text)) return text;
  throw invalid(`"${shown(text)}" names no release; write for example ${isName(text) ? text : 'vision'}:1`);
}

/** `7` of a rollout. */
export function parseRollout(text: string): string {
  if (/^[1-9][0-9]{0,8}$/.test(text)) return text;
  throw invalid(`"${shown(text)}" is no rollout's number; flotilla rollout list shows them`);
}

/** `3` of a command to many devices. */
export function parseJobNumber(text: string): string {
  if (/^[1-9][0-9]{0,8}$/.test(text)) return text;
  throw invalid(`"${shown(text)}" is no command's number; flotilla command list shows them`);
}

/** `detector=detector:4`, or `detector:4` for a module of the image's own name. */
export function parseModuleImages(texts: readonly string[]): Record<string, string> {
  const images = new Map<string, string>();
  for (const text of texts) {
    const equals = text.indexOf('=');
    const image = parseImageReference(text.slice(equals + 1));
    const own = parseReference(image)?.name;
    if (equals < 0 && own === undefined)
      throw invalid(`"${shown(text)}": name the module too, as in detector=${image}`);
    const module = parseName(equals < 0 ? (own ?? '') : text.slice(0, equals), 'module');
    if (images.has(module)) throw invalid(`module ${module} is given twice; give it once`);
    images.set(module, image);
  }
  return Object.fromEntries(images);
}

/** `module.key=json`, by module. */
export function parseModuleSettings(
  texts: readonly string[],
  modules: readonly string[],
): Record<string, Record<string, JsonValue>> {
  const settings = new Map<string, Record<string, JsonValue>>();
  for (const [path, value] of Object.entries(parseSettings(texts))) {
    const dot = path.indexOf('.');
    const module = path.slice(0, Math.max(dot, 0));
    if (!modules.includes(module)) {
      throw invalid(
        `--set ${shown(path)}: begin with one of the modules ${modules.join(', ')}, as in ${modules[0] ?? 'detector'}.threshold=0.8`,
      );
    }
    settings.set(module, { ...settings.get(module), [path.slice(dot + 1)]: value as JsonValue });
  }
  return Object.fromEntries(settings);
}

/** A workspace, device or module. */
export function parseName(text: string, what: string): string {
  if (isName(text)) return text;
  throw invalid(
    `"${shown(text)}" is no name of a ${what}: 1 to 63 of a-z, 0-9 and "-", starting with a letter or digit`,
  );
}

export function parseCount(text: string, max: number): number {
  const count = Number(text);
  if (/^\d+$/.test(text) && count >= 1 && count <= max) return count;
  throw invalid(`"${shown(text)}" is no count; write a whole number from 1 to ${String(max)}`);
}

/** For options that may be given several times. */
export function collect(value: string, earlier: readonly string[]): readonly string[] {
  return [...earlier, value];
}

function shown(text: string): string {
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}

function invalid(message: string): AppError {
  return new AppError('request.invalid', message);
}
