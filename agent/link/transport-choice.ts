/**
 * By which way the next connection to the broker is tried: MQTT over TLS on a port of its own, or MQTT
 * over WebSocket on the port where this device enrolled, which is often the only one that a site lets
 * out. What worked is tried first; what fails gives way to the other. Pure.
 */
export type TransportSetting = 'auto' | 'mqtt' | 'websocket';

export interface BrokerAddresses {
  /** As enrolment said: mqtts://host:port, or wss://host:port/path. */
  readonly broker: string;
  /** Where this device enrolled, https://host:port. */
  readonly gateway: string;
}

/** @returns URLs in the order in which they are tried; at least one, unless the setting leaves none */
export function brokerUrls(setting: TransportSetting, { broker, gateway }: BrokerAddresses): string[] {
  const webSocket = broker.startsWith('wss:') ? broker : webSocketUrl(gateway);
  const plain = broker.startsWith('mqtts:') ? [broker] : [];
  switch (setting) {
    case 'mqtt':
      return plain;
    case 'websocket':
      return [webSocket];
    case 'auto':
      return [...plain, webSocket];
  }
}

function webSocketUrl(gateway: string): string {
  const url = new URL('/mqtt', gateway);
  return `wss://${url.host}${url.pathname}`;
}

export interface TransportState {
  /** Place in the list of URLs. */
  readonly at: number;
  /** Did a connection by it ever stand since this agent started? */
  readonly worked: boolean;
  /** Failures one after the other. */
  readonly failures: number;
}

export const firstTransport: TransportState = { at: 0, worked: false, failures: 0 };

/** A way that once worked is given up only after so many failures: the server may be down, not the way. */
const patience = 3;

export function afterConnection(state: TransportState, outcome: 'stood' | 'failed', count: number): TransportState {
  if (outcome === 'stood') return { at: state.at, worked: true, failures: 0 };
  const failures = state.failures + 1;
  if (count < 2 || (state.worked && failures < patience)) return { ...state, failures };
  return { at: (state.at + 1) % count, worked: false, failures: 0 };
}
