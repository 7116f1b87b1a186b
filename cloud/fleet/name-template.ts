/** Names that a fleet claim gives: a template with `{hardware}` in it, filled with what the machine calls itself. Pure. */
import { isName } from '#shared/kernel/names.js';
import { err, ok, type Result } from '#shared/kernel/result.js';

const placeholder = '{hardware}';

/** @returns why not, in words; undefined for one that serves */
export function faultOfTemplate(template: string): string | undefined {
  if (template.split(placeholder).length !== 2) return `must hold ${placeholder} once, as in cam-${placeholder}`;
  return isName(template.replace(placeholder, 'a')) ? undefined : 'must make a name of a-z, 0-9 and "-"';
}

/** Other characters become "-". What would have to be cut is refused: two machines might get one name. */
export function nameFrom(template: string, hardwareId: string): Result<string, string> {
  const word = hardwareId
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-+|-+$/g, '');
  const name = template.replace(placeholder, () => word);
  if (word !== '' && isName(name)) return ok(name);
  return err(`"${hardwareId.slice(0, 80)}" makes no name of at most 63 characters with ${template}`);
}
