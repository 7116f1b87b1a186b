/**
 * A query as a condition on rows of `devices`, answered from indexes: a look-up in `deviceFacts` a condition, or a
 * column where the device's row has one. It agrees with `evaluate-query.ts` on every device; a property test says so.
 */
import { type Expression, type ExpressionBuilder, sql, type SqlBool } from 'kysely';
import type { ControlDatabase } from '#cloud/store/tables.js';
import { type Comparand, comparandOf } from './comparand.js';
import { sqliteGlob } from './glob.js';
import type { Query, QueryOperator, QueryValue } from './query-ast.js';

type Builder = ExpressionBuilder<ControlDatabase, 'devices'>;
type Condition = Expression<SqlBool>;

export function queryCondition(builder: Builder, workspace: string, query: Query): Condition {
  const inner = (one: Query): Condition => queryCondition(builder, workspace, one);
  switch (query.kind) {
    case 'and':
      return builder.and(query.of.map(inner));
    case 'or':
      return builder.or(query.of.map(inner));
    case 'not':
      return builder.not(inner(query.of));
    case 'has':
      return columnKnown(query.property) ?? hasFact(builder, workspace, query.property);
    case 'compare':
      return compared(builder, workspace, query.property, query.operator, [query.value]);
    case 'in':
      return compared(builder, workspace, query.property, '=', query.values);
  }
}

/** Of properties that the device's own row has; undefined for all others. Never null, so that `not` is the opposite. */
function columnKnown(property: string): Condition | undefined {
  switch (property) {
    case 'name':
      return sql<SqlBool>`1 = 1`;
    case 'online':
      return sql<SqlBool>`devices.online = 1`;
    case 'converged':
      return sql<SqlBool>`devices.convergedGeneration = devices.desiredGeneration`;
    case 'release':
      return sql<SqlBool>`devices.desiredRelease <> ''`;
    default:
      return undefined;
  }
}

function hasFact(builder: Builder, workspace: string, property: string): Condition {
  return builder('devices.name', 'in', facts(builder, workspace, property));
}

function compared(
  builder: Builder,
  workspace: string,
  property: string,
  operator: QueryOperator,
  values: readonly QueryValue[],
): Condition {
  const comparands = values.map((value) => comparandOf(property, operator, value));
  if (property === 'name') return either(builder, comparands, sql.ref('devices.name'), operator);
  if (property === 'release') {
    const same = either(builder, comparands, sql.ref('devices.desiredRelease'), operator);
    return builder.and([sql<SqlBool>`devices.desiredRelease <> ''`, same]);
  }
  // One look-up a column: values of tags may be both texts and numbers.
  const lookUps = (['text', 'number'] as const).flatMap((column) => {
    const here = comparands.filter((comparand) => comparand.column === column);
    if (here.length === 0) return [];
    const found = facts(builder, workspace, property).where(
      either(builder, here, sql.ref(`deviceFacts.${column}`), operator),
    );
    return [builder('devices.name', 'in', found)];
  });
  return builder.or(lookUps);
}

function facts(builder: Builder, workspace: string, property: string) {
  return builder
    .selectFrom('deviceFacts')
    .select('deviceFacts.device')
    .where('deviceFacts.workspace', '=', workspace)
    .where('deviceFacts.name', '=', property);
}

function either(
  builder: Builder,
  comparands: readonly Comparand[],
  column: Expression<unknown>,
  operator: QueryOperator,
): Condition {
  if (operator === '~') {
    return builder.or(comparands.map(({ value }) => sql<SqlBool>`${column} glob ${sqliteGlob(String(value))}`));
  }
  if (operator === '=') return sql<SqlBool>`${column} in (${sql.join(comparands.map(({ value }) => value))})`;
  return builder.or(comparands.map(({ value }) => sql<SqlBool>`${column} ${sql.raw(operator)} ${value}`));
}
