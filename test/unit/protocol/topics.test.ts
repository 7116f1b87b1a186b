import { describe, expect, it } from 'vitest';
import { mayDevicePublish, mayDeviceSubscribe, parseTopic } from '#shared/protocol/topics.js';

const self = { workspace: 'main', device: 'cam-1' };
const own = 'flotilla/v1/main/cam-1';

describe('publishing', () => {
  it.each(['desired/get', 'reported', 'presence', 'telemetry', 'events', 'commands/x1/response', 'blocks/get'])(
    'is allowed on %s',
    (path) => {
      expect(mayDevicePublish(self, `${own}/${path}`)).toBe(true);
    },
  );

  it.each([
    ['its own desired document', `${own}/desired`],
    ['an acknowledgement', `${own}/acks`],
    ['a command', `${own}/commands/x1/request`],
    ['a block', `${own}/blocks/data`],
    ['a request for its own report', `${own}/reported/get`],
    ['another device', 'flotilla/v1/main/cam-2/reported'],
    ['another workspace', 'flotilla/v1/other/cam-1/reported'],
    ['a longer name', 'flotilla/v1/main/cam-11/reported'],
    ['another version', 'flotilla/v2/main/cam-1/reported'],
    ['an unknown channel', `${own}/uploads/x`],
    ['a wildcard', `${own}/+`],
    ['a wildcard device', 'flotilla/v1/main/+/reported'],
    ['all', '#'],
    ['a shared group', `$share/g/${own}/reported`],
    ['the broker', '$SYS/broker/clients'],
    ['a leading slash', `/${own}/reported`],
    ['a trailing slash', `${own}/reported/`],
    ['an empty level', 'flotilla/v1/main//reported'],
    ['an empty id', `${own}/commands//response`],
    ['the placeholder', `${own}/commands/{id}/response`],
    ['a wildcard id', `${own}/commands/+/response`],
    ['a too long id', `${own}/commands/${'x'.repeat(65)}/response`],
    ['capital letters', 'flotilla/v1/MAIN/cam-1/reported'],
    ['letters that look alike', 'flotilla/v1/main/ｃam-1/reported'],
    ['a null byte', `${own}/reported\0`],
    ['a way up', 'flotilla/v1/main/cam-2/../cam-1/reported'],
    ['the root', 'flotilla/v1/main/cam-1'],
    ['nothing', ''],
    ['a very long text', `${own}/${'reported/'.repeat(10_000)}`],
  ])('is refused: %s', (_what, text) => {
    expect(mayDevicePublish(self, text)).toBe(false);
  });
});

describe('subscribing', () => {
  it.each(['desired', 'reported/get', 'acks', 'commands/+/request', 'commands/x1/request', 'blocks/data'])(
    'is allowed with %s',
    (path) => {
      expect(mayDeviceSubscribe(self, `${own}/${path}`)).toBe(true);
    },
  );

  it.each([
    ['all', '#'],
    ['its whole subtree', `${own}/#`],
    ['one level of it', `${own}/+`],
    ['every device', 'flotilla/v1/main/+/desired'],
    ['every workspace', 'flotilla/v1/+/cam-1/desired'],
    ['every command channel', `${own}/commands/+/+`],
    ['every command', `${own}/commands/#`],
    ['responses', `${own}/commands/+/response`],
    ['what it sends itself', `${own}/reported`],
    ['a shared group', `$share/g/${own}/desired`],
    ['a queue', `$queue/${own}/desired`],
    ['the broker', '$SYS/#'],
    ['another device', 'flotilla/v1/main/cam-2/desired'],
    ['a broken wildcard', `${own}/desired#`],
    ['an empty level', `${own}//desired`],
    ['nothing', ''],
  ])('is refused: %s', (_what, filter) => {
    expect(mayDeviceSubscribe(self, filter)).toBe(false);
  });
});

it('a name that every object inherits is a name like any other', () => {
  expect(parseTopic('flotilla/v1/constructor/constructor/desired')).toEqual({
    workspace: 'constructor',
    device: 'constructor',
    channel: 'desired',
  });
  expect(parseTopic(`${own}/constructor`)).toBeUndefined();
});
