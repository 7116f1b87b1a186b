/**
 * The limit of the control plane's broker, a process of its own: aedes over TLS with client certificates and nothing else.
 * Its order comes as one line: keys and certificates, and how much to send to how many.
 */
import { createInterface } from 'node:readline';
import { createServer } from 'node:tls';
import { Aedes } from 'aedes';

export interface BareOrder {
  readonly certificate: string;
  readonly privateKey: string;
  readonly authority: string;
  readonly port: number;
}

/** Answered by the time in milliseconds from the first publish to the last PUBACK. */
export interface FanOut {
  readonly subscribers: number;
  readonly bytes: number;
}

const backlog = 16_384;

async function run(): Promise<void> {
  const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  const order = JSON.parse(String((await lines.next()).value)) as BareOrder;
  const aedes = await Aedes.createBroker({ concurrency: 100_000 });
  const server = createServer(
    {
      ...{ cert: order.certificate, key: order.privateKey, ca: order.authority },
      ...{ requestCert: true, rejectUnauthorized: true, handshakeTimeout: 120_000, noDelay: true },
    },
    (socket) => aedes.handle(socket),
  );
  await new Promise<void>((resolve) => server.listen({ port: order.port, host: '127.0.0.1', backlog }, resolve));
  process.stdout.write('listening\n');
  for (let line = await lines.next(); line.done !== true; line = await lines.next()) {
    const { subscribers, bytes } = JSON.parse(line.value) as FanOut;
    process.stdout.write(`${String(await fanOut(aedes, subscribers, bytes))}\n`);
  }
  process.exit(0);
}

function fanOut(aedes: Aedes, subscribers: number, bytes: number): Promise<number> {
  const payload = Buffer.alloc(bytes, 'x');
  return new Promise((resolve) => {
    let acknowledged = 0;
    const begun = performance.now();
    aedes.on('ack', () => {
      acknowledged += 1;
      if (acknowledged === subscribers) resolve(performance.now() - begun);
    });
    for (let number = 0; number < subscribers; number++) {
      const topic = `devices/${String(number)}/desired`;
      aedes.publish({ cmd: 'publish', topic, payload, qos: 1, retain: false, dup: false }, () => undefined);
    }
  });
}

void run();
