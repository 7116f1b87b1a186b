import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AppError } from '#shared/kernel/errors.js';
import { EventParser, type ServerSentEvent } from '#cloud/client/sse-reader.js';

function parse(bytes: Uint8Array, cuts: readonly number[] = []): ServerSentEvent[] {
  const parser = new EventParser();
  const edges = [0, ...[...cuts].sort((a, b) => a - b), bytes.length];
  return edges.slice(1).flatMap((end, index) => parser.push(bytes.subarray(edges[index], end)));
}

describe('server-sent events', () => {
  it('are read with type, data over several lines, and id', () => {
    const text = ': hello\n\nevent: device.changed\nid: 7\ndata: {"a":\ndata: 1}\n\ndata:x\n\n';
    expect(parse(Buffer.from(text))).toEqual([
      { type: 'device.changed', data: '{"a":\n1}', id: '7' },
      { type: 'message', data: 'x', id: '7' },
    ]);
  });
  it.each(['\n', '\r\n', '\r'])('end their lines with %j', (eol) => {
    const text = ['event: a', 'data: b', '', 'data: c', '', ': the last line end may be half of one', ''].join(eol);
    expect(parse(Buffer.from(text)).map(({ type, data }) => [type, data])).toEqual([
      ['a', 'b'],
      ['message', 'c'],
    ]);
  });
  it('that were not ended by a blank line are none', () => {
    expect(parse(Buffer.from('data: half\n'))).toEqual([]);
  });
  it('without data are none', () => {
    expect(parse(Buffer.from('event: a\n\n'))).toEqual([]);
  });
  it('are the same however the bytes are cut', () => {
    const line = fc.oneof(
      fc.constantFrom('', ':', 'data', 'data:', 'event: é', 'id: 1', 'retry: 5', '\uFEFFdata: b', 'data: 😀'),
      fc.string({ unit: 'binary', maxLength: 10 }),
    );
    const stream = fc
      .array(fc.tuple(line, fc.constantFrom('\n', '\r\n', '\r')))
      .map((lines) => Buffer.from(lines.flat().join('')));
    fc.assert(
      fc.property(stream, fc.array(fc.nat(200)), (bytes, cuts) => {
        const inside = cuts.map((cut) => Math.min(cut, bytes.length));
        expect(parse(bytes, inside)).toEqual(parse(bytes));
      }),
    );
  });
  it('of any bytes are read or refused, never otherwise', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 500 }), (bytes) => void parse(bytes)));
  });
  it('of more than a mebibyte are refused, in one line or many', () => {
    const parser = new EventParser();
    expect(() => parser.push(Buffer.alloc(1024 * 1024 + 1, 'a'))).toThrow(AppError);
    const many = new EventParser();
    const line = Buffer.from(`data: ${'a'.repeat(1000)}\n`);
    expect(() => {
      for (let i = 0; i < 1100; i++) many.push(line);
    }).toThrow(/longer than 1 MiB/);
  });
});
