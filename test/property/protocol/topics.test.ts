import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  buildTopic,
  channelNames,
  channels,
  clientIdOf,
  cloudFilters,
  type DeviceAddress,
  deviceFilters,
  mayDevicePublish,
  mayDeviceSubscribe,
  parseClientId,
  parseTopic,
  type Topic,
} from '#shared/protocol/topics.js';

const name = fc.stringMatching(/^[a-z0-9][a-z0-9-]{0,62}$/);
const commandId = fc.stringMatching(/^[A-Za-z0-9_-]{1,64}$/);
const address = fc.record({ workspace: name, device: name });
const topic = fc
  .tuple(address, fc.constantFrom(...channelNames), commandId)
  .map(
    ([who, channel, id]): Topic =>
      channels[channel].path.includes('{id}') ? { ...who, channel, id } : { ...who, channel },
  );

const self: DeviceAddress = { workspace: 'main', device: 'cam-1' };
/** Texts that nearly fit: levels of the grammar, of other devices, of brokers' own and of nobody. */
const level = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom('flotilla', 'v1', 'main', 'cam-1', 'cam-2', 'other') },
  {
    weight: 8,
    arbitrary: fc.constantFrom(
      'desired',
      'get',
      'reported',
      'commands',
      'x1',
      'request',
      'response',
      'blocks',
      'data',
      'acks',
    ),
  },
  { weight: 4, arbitrary: fc.constantFrom('#', '+', '', '$share', 'group', '$SYS', '$queue', '{id}', '_broadcast') },
  { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 8 }) },
  { weight: 1, arbitrary: fc.constantFrom('a'.repeat(70_000), 'cam-1\u0000', 'ｃam-1', 'CAM-1', '..', 'cam-1 ') },
);
const anyText = fc.oneof(
  fc.array(level, { maxLength: 9 }).map((levels) => levels.join('/')),
  fc.array(level, { maxLength: 4 }).map((levels) => ['flotilla/v1/main/cam-1', ...levels].join('/')),
  fc.string({ unit: 'binary' }),
  topic.map((made) => buildTopic({ ...made, ...self })),
  fc.constantFrom(...deviceFilters(self)),
);

/** MQTT 3.1.1 section 4.7, written apart from the product. */
function matches(filter: string, text: string): boolean {
  const shared = /^\$(?:share\/[^/]*|queue)\/(.*)$/s.exec(filter);
  const wanted = (shared?.[1] ?? filter).split('/');
  const levels = text.split('/');
  for (const [index, want] of wanted.entries()) {
    if (want === '#') return true;
    if (index >= levels.length || (want !== '+' && want !== levels[index])) return false;
  }
  return wanted.length === levels.length;
}

describe('the topic grammar', () => {
  it('reads back every topic that it builds', () => {
    fc.assert(
      fc.property(topic, (made) => {
        expect(parseTopic(buildTopic(made))).toEqual(made);
      }),
    );
  });

  it('builds again exactly the text that it could read, and never throws on any', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const read = parseTopic(text);
        if (read !== undefined) expect(buildTopic(read)).toBe(text);
      }),
      { numRuns: 3000 },
    );
  });

  it('refuses to build what it could not read', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const valid = /^[a-z0-9][a-z0-9-]{0,62}$/.test(text);
        if (!valid) {
          expect(() => buildTopic({ workspace: text, device: 'd', channel: 'desired' })).toThrow();
          expect(() => buildTopic({ workspace: 'w', device: text, channel: 'desired' })).toThrow();
        }
        if (!/^[A-Za-z0-9_-]{1,64}$/.test(text)) {
          expect(() => buildTopic({ ...self, channel: 'commandRequest', id: text })).toThrow();
        }
      }),
    );
    expect(() => buildTopic({ ...self, channel: 'desired', id: 'x' })).toThrow();
    expect(() => buildTopic({ ...self, channel: 'commandRequest' })).toThrow();
  });

  it('gives every channel its own text, which no wildcard filter of the other side matches', () => {
    fc.assert(
      fc.property(topic, (made) => {
        const text = buildTopic(made);
        const byDevice = deviceFilters(made).some((filter) => matches(filter, text));
        const byCloud = cloudFilters().some((filter) => matches(filter, text));
        expect({ byDevice, byCloud }).toEqual({
          byDevice: channels[made.channel].from === 'cloud',
          byCloud: channels[made.channel].from === 'device',
        });
      }),
    );
  });
});

describe('a device on the broker', () => {
  it('publishes only in its own subtree, on channels that devices send on', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        if (!mayDevicePublish(self, text)) return;
        expect(text.startsWith('flotilla/v1/main/cam-1/')).toBe(true);
        expect(text).not.toMatch(/[+#\0]/);
        const read = parseTopic(text);
        expect(read && channels[read.channel].from).toBe('device');
      }),
      { numRuns: 5000 },
    );
  });

  it('receives, by whatever filter it is allowed, only its own topics that the cloud sends on', () => {
    fc.assert(
      fc.property(anyText, fc.array(topic, { minLength: 5, maxLength: 5 }), (filter, others) => {
        if (!mayDeviceSubscribe(self, filter)) return;
        const foreign = [...others, ...others.map((made) => ({ ...made, workspace: self.workspace }))];
        const own = others.map((made) => ({ ...made, ...self }));
        for (const made of [...foreign, ...own].filter((each) => matches(filter, buildTopic(each)))) {
          expect(made).toMatchObject(self);
          expect(channels[made.channel].from).toBe('cloud');
        }
        expect(filter.startsWith('$')).toBe(false);
      }),
      { numRuns: 5000 },
    );
  });

  it('may do all that its own part asks for', () => {
    fc.assert(
      fc.property(topic, (made) => {
        const text = buildTopic(made);
        const fromDevice = channels[made.channel].from === 'device';
        expect(mayDevicePublish(made, text)).toBe(fromDevice);
        expect(mayDeviceSubscribe(made, text)).toBe(!fromDevice);
        for (const filter of deviceFilters(made)) expect(mayDeviceSubscribe(made, filter)).toBe(true);
      }),
    );
  });

  it('may do nothing on the topics of another', () => {
    fc.assert(
      fc.property(topic, address, (made, other) => {
        fc.pre(made.workspace !== other.workspace || made.device !== other.device);
        expect(mayDevicePublish(other, buildTopic(made))).toBe(false);
        expect(mayDeviceSubscribe(other, buildTopic(made))).toBe(false);
      }),
    );
  });
});

describe('a client id', () => {
  it('names its device, and no other text does', () => {
    fc.assert(
      fc.property(address, (who) => {
        expect(parseClientId(clientIdOf(who))).toEqual(who);
      }),
    );
    fc.assert(
      fc.property(anyText, (text) => {
        const who = parseClientId(text);
        if (who !== undefined) expect(clientIdOf(who)).toBe(text);
      }),
    );
  });
});
