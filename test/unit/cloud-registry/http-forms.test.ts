import { describe, expect, it } from 'vitest';
import { encodeEvent } from '#cloud/http/routes/event-routes.js';
import { readRangeHeader } from '#cloud/http/byte-range.js';
import { MethodTable } from '#cloud/http/method-table.js';
import { Metrics } from '#cloud/http/metrics.js';
import { LiveEvents, type LiveEvent } from '#cloud/live/live-events.js';

describe('a Range header', () => {
  it.each([
    [undefined, { kind: 'whole' }],
    ['bytes=0-9', { kind: 'part', range: { start: 0, end: 9 } }],
    ['bytes=90-', { kind: 'part', range: { start: 90, end: 99 } }],
    ['bytes=90-1000', { kind: 'part', range: { start: 90, end: 99 } }],
    ['bytes=-10', { kind: 'part', range: { start: 90, end: 99 } }],
    ['bytes=-1000', { kind: 'part', range: { start: 0, end: 99 } }],
    ['bytes=100-', { kind: 'unsatisfiable' }],
    ['bytes=-0', { kind: 'unsatisfiable' }],
    ['bytes=9-5', { kind: 'whole' }],
    ['bytes=0-1,3-4', { kind: 'whole' }],
    ['lines=0-1', { kind: 'whole' }],
    ['bytes=-', { kind: 'whole' }],
  ])('%s of 100 bytes', (header, answer) => {
    expect(readRangeHeader(header, 100)).toEqual(answer);
  });

  it('of an empty blob is never a part', () => {
    expect(readRangeHeader('bytes=0-', 0)).toEqual({ kind: 'unsatisfiable' });
    expect(readRangeHeader('bytes=-5', 0)).toEqual({ kind: 'unsatisfiable' });
  });
});

describe('the method table', () => {
  it('knows which methods a path has, with parameters and wildcards, and none for others', () => {
    const table = new MethodTable();
    table.add('GET', '/v1/things/:id');
    table.add(['PUT', 'DELETE'], '/v1/things/:id');
    table.add('GET', '/files/*');
    table.add('GET', '/a.b');
    expect(table.allowed('/v1/things/7')).toEqual(['DELETE', 'GET', 'PUT']);
    expect(table.allowed('/v1/things/7/8')).toEqual([]);
    expect(table.allowed('/files/a/b/c')).toEqual(['GET']);
    expect(table.allowed('/axb')).toEqual([]);
  });
});

describe('metrics', () => {
  it('render counters and gauges with escaped labels', async () => {
    const metrics = new Metrics();
    const counter = metrics.counter('requests_total', 'Requests.');
    counter.add({ route: '/a"b\\c\n' });
    counter.add({ route: '/a"b\\c\n' }, 2);
    metrics.gauge('online', 'Online.', () => Promise.resolve([{ value: 4 }]));
    expect(await metrics.render()).toBe(
      '# HELP requests_total Requests.\n# TYPE requests_total counter\nrequests_total{route="/a\\"b\\\\c\\n"} 3\n' +
        '# HELP online Online.\n# TYPE online gauge\nonline 4\n',
    );
    expect(() => metrics.counter('online', 'Again.')).toThrow('added twice');
  });
});

describe('live events', () => {
  const event = (workspace: string): LiveEvent => ({ workspace, type: 'device.changed', subject: 'cam-1', data: {} });

  it('reach the listeners of their workspace until these leave, whatever another listener does', () => {
    const errors: unknown[] = [];
    const live = new LiveEvents((error) => errors.push(error));
    const heard: string[] = [];
    live.subscribe('a', () => {
      throw new Error('broken listener');
    });
    const leave = live.subscribe('a', (found) => heard.push(found.workspace));
    live.subscribe('b', () => heard.push('b'));
    live.publish(event('a'));
    leave();
    leave();
    live.publish(event('a'));
    expect(heard).toEqual(['a']);
    expect(errors).toHaveLength(2);
    expect(live.subscribers).toBe(2);
  });

  it('are one data line each, whatever is in them', () => {
    const text = encodeEvent({ ...event('a'), data: { text: 'two\nlines\r\n\ndata: x' } });
    expect(text.split('\n')).toHaveLength(4);
    expect(text.endsWith('\n\n')).toBe(true);
  });
});
