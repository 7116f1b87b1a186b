/** For which devices a layer may be. Pure. */
import { AppError } from '#shared/kernel/errors.js';
import { parseQuery } from '../query/parse-query.js';
import { propertiesIn, type Query } from '../query/query-ast.js';

/**
 * Only by what a layer cannot change: one that asks what a device runs, or whether it is there, would move its own
 * members.
 *
 * @throws AppError `query.invalid`
 */
export function parseLayerQuery(where: string): Query {
  const query = parseQuery(where);
  const other = propertiesIn(query).find((name) => name !== 'name' && !/^(tags|capabilities)\./.test(name));
  if (other === undefined) return query;
  throw new AppError(
    'query.invalid',
    `a layer is for devices by their name, tags and capabilities: ${other} changes with what they run`,
  );
}
