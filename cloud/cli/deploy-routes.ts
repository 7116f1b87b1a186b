/** What `flotilla deploy` says of routes: by flags, or in a file, checked as the server will. */
import { readFile } from 'node:fs/promises';
import { AppError, messageOf } from '#shared/kernel/errors.js';
import { readStrictYaml } from '#shared/package/strict-yaml.js';
import { checkMessage } from '#shared/protocol/decode.js';
import { type RouteOverrides, routeOverridesSchema } from '#shared/protocol/route.js';
import { isMapping } from './yaml-fields.js';

/**
 * @param texts `name={ from: …, to: … }` in YAML, or `name=off`; above what the file says of the same name
 * @throws AppError `request.invalid`, naming the flag
 */
export async function readRoutes(texts: readonly string[], file: string | undefined): Promise<RouteOverrides> {
  const given = file === undefined ? {} : await fromFile(file);
  for (const text of texts) {
    const at = text.indexOf('=');
    if (at < 1) throw invalid('--route', `"${text}" is not name=route, or name=off`);
    const value = text.slice(at + 1).trim();
    given[text.slice(0, at)] = value === 'off' ? null : yamlOf('--route', value);
  }
  const checked = checkMessage(routeOverridesSchema, given);
  if (checked.ok) return checked.value;
  throw invalid('--route', `${checked.error.message}; docs/routes.md has every field`);
}

async function fromFile(file: string): Promise<Record<string, unknown>> {
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    throw invalid('--routes', `cannot read ${file}: ${messageOf(error)}`);
  });
  const routes = yamlOf('--routes', text);
  if (!isMapping(routes)) throw invalid('--routes', `${file} must be a map of routes by name`);
  return Object.fromEntries(Object.entries(routes).map(([name, route]) => [name, route === 'off' ? null : route]));
}

function yamlOf(flag: string, text: string): unknown {
  return readStrictYaml(text, ({ what, line }) => {
    const at = line === undefined ? '' : ` at line ${String(line)}`;
    return invalid(flag, `not YAML: ${what}${at}`);
  }).value;
}

function invalid(flag: string, what: string): AppError {
  return new AppError('request.invalid', `${flag}: ${what}`);
}
