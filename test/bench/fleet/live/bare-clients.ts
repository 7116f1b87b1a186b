/**
 * Plain subscribers of the bare broker, a share of them in each process. The order comes as one line; `handshakes` is
 * said when each has a TLS session, `subscribed` when each has subscribed to a topic of its own.
 */
import { createInterface } from 'node:readline';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { MqttClient } from 'mqtt';

export interface ClientOrder {
  readonly port: number;
  readonly authority: string;
  readonly certificate: string;
  readonly privateKey: string;
  readonly first: number;
  readonly step: number;
  readonly end: number;
}

function session({ port, authority, certificate, privateKey }: ClientOrder): Promise<TLSSocket> {
  return new Promise((resolve) => {
    const attempt = (): void => {
      const socket = connectTls({
        ...{ port, host: '127.0.0.1', servername: 'bare.test', minVersion: 'TLSv1.2' },
        ...{ ca: authority, cert: certificate, key: privateKey },
      });
      const again = (): void => {
        setTimeout(attempt, 100);
      };
      socket.once('error', again);
      socket.once('secureConnect', () => {
        socket.removeListener('error', again);
        resolve(socket);
      });
    };
    attempt();
  });
}

function subscribe(socket: TLSSocket, number: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const options = { clientId: `bare-${String(number)}`, protocolVersion: 4 as const, keepalive: 0 };
    const client = new MqttClient(() => socket, { ...options, reconnectPeriod: 0, connectTimeout: 300_000 });
    client.on('error', reject);
    client.once('connect', () => {
      client.subscribe(`devices/${String(number)}/desired`, { qos: 1 }, (error) => (error ? reject(error) : resolve()));
    });
  });
}

const lines = createInterface({ input: process.stdin });
lines.once('line', (text) => {
  const run = async (): Promise<void> => {
    const order = JSON.parse(text) as ClientOrder;
    const numbers: number[] = [];
    for (let number = order.first; number < order.end; number += order.step) numbers.push(number);
    const sockets = await Promise.all(numbers.map(async (number) => [number, await session(order)] as const));
    process.stdout.write('handshakes\n');
    await Promise.all(sockets.map(([number, socket]) => subscribe(socket, number)));
    process.stdout.write('subscribed\n');
  };
  void run();
});
lines.once('close', () => process.exit(0));
