import { describe, expect, it } from 'vitest';
import { afterConnection, brokerUrls, firstTransport, type TransportState } from '#agent/link/transport-choice.js';

const addresses = { broker: 'mqtts://cloud:8883', gateway: 'https://cloud:8443' };

describe('the ways to the broker', () => {
  it.each([
    ['auto', addresses, ['mqtts://cloud:8883', 'wss://cloud:8443/mqtt']],
    ['mqtt', addresses, ['mqtts://cloud:8883']],
    ['websocket', addresses, ['wss://cloud:8443/mqtt']],
    ['auto', { broker: 'wss://b/x', gateway: 'https://g' }, ['wss://b/x']],
    ['websocket', { broker: 'wss://b/x', gateway: 'https://g' }, ['wss://b/x']],
    ['mqtt', { broker: 'wss://b/x', gateway: 'https://g' }, []],
  ] as const)('%s', (setting, given, expected) => {
    expect(brokerUrls(setting, given)).toEqual(expected);
  });
});

describe('what is tried after a connection', () => {
  const run = (outcomes: string, count = 2): TransportState =>
    [...outcomes].reduce(
      (state, outcome) => afterConnection(state, outcome === '+' ? 'stood' : 'failed', count),
      firstTransport,
    );

  it('is the other way as soon as one fails that never worked', () => {
    expect(run('-').at).toBe(1);
    expect(run('--').at).toBe(0);
  });
  it('is what worked, until it has failed several times', () => {
    expect(run('-+').at).toBe(1);
    expect(run('-+-').at).toBe(1);
    expect(run('-+--').at).toBe(1);
    expect(run('-+---').at).toBe(0);
    expect(run('-+--+--').at).toBe(1);
  });
  it('is the only way there is', () => {
    expect(run('------', 1).at).toBe(0);
  });
});
