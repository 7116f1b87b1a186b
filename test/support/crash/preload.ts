/**
 * Loaded in front of a built daemon with `NODE_OPTIONS=--import`: counts what it changes on disk, and
 * kills it with SIGKILL at the change that was asked for. What to do stands in `FLOTILLA_CRASH`.
 */
import fs from 'node:fs';
import { createRequire } from 'node:module';
import { relative } from 'node:path';
import { isMainThread } from 'node:worker_threads';
import { crashOrderOf } from './crash-order.js';
import { type DiskEffect, watchDisk } from './disk-effects.js';

/** The text of each prepared statement. */
const statements = new WeakMap<object, string>();
const order = crashOrderOf(process.env['FLOTILLA_CRASH']);
const [, program = '', command = ''] = process.argv;
if (order !== undefined && isMainThread && program.endsWith(order.program) && order.commands.includes(command)) {
  const { root, killAt, seen, journal, readOnlyWhile } = order;
  const { appendFileSync, existsSync, openSync, writeSync } = fs;
  const journalFile = journal === undefined ? undefined : openSync(journal, 'a');
  let points = 0;

  const die = (): void => {
    process.kill(process.pid, 'SIGKILL');
    // The signal takes effect before this ends, and nothing more may happen until then.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10_000);
  };
  /** One more instant at which the process may be killed. */
  const isPoint = (what: string): boolean => {
    points += 1;
    appendFileSync(seen, `${String(points)} ${what}\n`);
    return points === killAt;
  };
  const textOf = (effect: DiskEffect): string =>
    `${effect.op} ${relative(root, effect.path)}${'to' in effect ? ` -> ${relative(root, effect.to)}` : ''}`;
  const record = (kind: 'begin' | 'end', effect: DiskEffect): void => {
    if (journalFile === undefined) return;
    const line = 'data' in effect ? { ...effect, data: effect.data.toString('base64') } : effect;
    writeSync(journalFile, `${JSON.stringify({ kind, process: process.pid, effect: line })}\n`);
  };

  const refuseChange = ({ op, path }: DiskEffect): void => {
    if (readOnlyWhile === undefined || !existsSync(readOnlyWhile)) return;
    const message = `EROFS: read-only file system, ${op} '${path}'`;
    throw Object.assign(new Error(message), { code: 'EROFS', errno: -30, syscall: op, path });
  };

  await watchDisk({
    root,
    except: order.except,
    before: (effect) => {
      refuseChange(effect);
      record('begin', effect);
      if (isPoint(`before ${textOf(effect)}`)) die();
      return effect.op === 'write' && isPoint(`within ${textOf(effect)}`) ? 'tear' : undefined;
    },
    torn: die,
    after: (effect) => record('end', effect),
  });
  if (order.sql) watchSql(isPoint, die);
}

/** SQLite's own writes do not pass Node: a process may be killed around every statement that changes something. */
function watchSql(isPoint: (what: string) => boolean, die: () => void): void {
  type Prepare = (this: object, sql: string) => object;
  const Database = createRequire(import.meta.url)('libsql') as { prototype: { prepare: Prepare } };
  const { prepare } = Database.prototype;
  let wrapped: object | undefined;
  Database.prototype.prepare = function patched(sql) {
    const statement = prepare.call(this, sql);
    const prototype = Object.getPrototypeOf(statement) as Record<string, (...args: unknown[]) => unknown>;
    if (wrapped === prototype) {
      statements.set(statement, sql);
      return statement;
    }
    wrapped = prototype;
    for (const name of ['run', 'all']) {
      const original = prototype[name];
      if (original === undefined) continue;
      prototype[name] = function counted(this: object, ...args: unknown[]) {
        const text = statements.get(this) ?? '';
        const changes = /^\s*(insert|update|delete|commit)/i.test(text);
        const what = `sql ${text.trim().slice(0, 60).replaceAll(/\s+/g, ' ')}`;
        if (changes && isPoint(`before ${what}`)) die();
        const result = original.apply(this, args);
        if (/^\s*commit/i.test(text) && isPoint(`after ${what}`)) die();
        return result;
      };
    }
    statements.set(statement, sql);
    return statement;
  };
}
