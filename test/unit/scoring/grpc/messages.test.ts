/** The tables that messages are read and written by, against the .proto files that users build clients from. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import * as messages from '#shared/scoring/grpc/messages.js';
import { inferenceMethods, inferenceService } from '#shared/scoring/grpc/service-methods.js';

const proto = ['open-inference.proto', 'health.proto']
  .map((file) =>
    readFileSync(fileURLToPath(new URL(`../../../../shared/scoring/grpc/${file}`, import.meta.url)), 'utf8'),
  )
  .join('\n')
  .replace(/\/\/.*$/gm, '');

/** Fields of each message by their numbers, as the text declares them; inner messages by their own names. */
function declared(): Map<string, Record<number, string>> {
  const found = new Map<string, Record<number, string>>();
  const open: string[] = [];
  for (const statement of proto.matchAll(/(\w+)\s+(\w+)\s*\{|\}|(?:^|\s)((?:repeated )?[\w<>, ]+?) (\w+) = (\d+);/g)) {
    const [all, keyword, name = '', type = '', field = '', number] = statement;
    if (all === '}') open.pop();
    else if (keyword !== undefined) {
      open.push(keyword === 'message' ? name : keyword);
      if (keyword === 'message') found.set(name, {});
    } else {
      const owner = open.findLast((one) => one !== 'oneof');
      const fields = found.get(owner ?? '');
      if (fields) fields[Number(number)] = `${type.trim()} ${field}`;
    }
  }
  return found;
}

const tables = Object.values(messages).filter(({ name }) => name !== '');
/** One table reads requests that are alike. */
const alike: Record<string, string[]> = {
  ModelReadyRequest: ['ModelMetadataRequest', 'ModelConfigRequest', 'ModelStatisticsRequest'],
  RepositoryModelLoadRequest: ['RepositoryModelUnloadRequest'],
};
/** Read by nobody, whatever it holds: load parameters are refused by their names. */
const unread = ['bytes bytes_param'];

describe('the tables of messages', () => {
  it('have the fields and numbers of the .proto files, all of them', () => {
    const byName = declared();
    expect(byName.size).toBeGreaterThan(35);
    for (const table of tables) {
      const fields = Object.fromEntries(
        Object.entries(table.fields).map(([name, { number, declared: type }]) => [number, `${type} ${name}`]),
      );
      for (const name of [table.name, ...(alike[table.name] ?? [])]) {
        const expected = Object.entries(byName.get(name) ?? {}).filter(([, field]) => !unread.includes(field));
        expect({ [name]: fields }).toEqual({ [name]: Object.fromEntries(expected) });
        byName.delete(name);
      }
    }
    // What is left says nothing at all.
    expect([...byName].filter(([, fields]) => Object.keys(fields).length > 0)).toEqual([]);
  });

  it('serve every method that the service declares', () => {
    const methods = [...proto.matchAll(/rpc (\w+)\((stream )?/g)].filter(([, name]) => name !== 'Check');
    const served = Object.keys(inferenceMethods({} as Parameters<typeof inferenceMethods>[0]));
    expect(inferenceService).toBe('inference.GRPCInferenceService');
    expect(
      methods.flatMap(([, name = '', stream]) => (stream === undefined && !served.includes(name) ? [name] : [])),
    ).toEqual([]);
    expect(methods.filter(([, , stream]) => stream !== undefined).map(([, name]) => name)).toEqual([
      'ModelStreamInfer',
    ]);
  });
});
