/** What the machine allows without us: as many TLS handshakes at once, and the same bytes sent by a bare broker. */
import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { testCertificate } from '#test/support/test-certificates.js';
import { ownPort } from '#test/support/own-port.js';
import { cpuMsOf, sizeOf } from '../../process-cost.js';
import type { BareOrder, FanOut } from './bare-broker.js';
import type { ClientOrder } from './bare-clients.js';

export interface Bare {
  /** Until the last of all clients, which begin at once, has its TLS session. */
  readonly handshakesSeconds: number;
  readonly handshakesCpuSeconds: number;
  /** From the first publish to the last PUBACK. */
  readonly fanOutSeconds: number;
  readonly fanOutCpuSeconds: number;
  readonly bytesPerConnection: number;
}

export async function measureBare(devices: number, processes: number, bytes: number): Promise<Bare> {
  const authority = await testCertificate({ commonName: 'bare', authority: true });
  const leaf = { issuer: authority, names: ['bare.test'] };
  const server = await testCertificate({ ...leaf, commonName: 'bare.test', usage: 'server' });
  const client = await testCertificate({ ...leaf, commonName: 'a device', usage: 'client' });
  const port = await ownPort();
  const keys = ({ certificate, privateKey }: typeof server) => ({ certificate, privateKey });
  const order: BareOrder = { ...keys(server), authority: authority.certificate, port };
  const broker = new Peer('bare-broker.js');
  const peers = [broker];
  try {
    broker.tell(order);
    await broker.says('listening');
    const before = rssOf(broker);
    const cpuBefore = cpuOf(broker);
    const clients = Array.from({ length: processes }, () => new Peer('bare-clients.js'));
    peers.push(...clients);
    // Programs that are still being read are not what is measured.
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    const begun = performance.now();
    clients.forEach((one, first) => {
      const share = { first, step: processes, end: devices };
      one.tell({ ...keys(client), authority: authority.certificate, port, ...share } satisfies ClientOrder);
    });
    await Promise.all(clients.map((one) => one.says('handshakes')));
    const handshakesSeconds = (performance.now() - begun) / 1000;
    const handshakesCpuSeconds = cpuOf(broker) - cpuBefore;
    await Promise.all(clients.map((one) => one.says('subscribed')));
    const bytesPerConnection = (rssOf(broker) - before) / devices;
    const cpuConnected = cpuOf(broker);
    broker.tell({ subscribers: devices, bytes } satisfies FanOut);
    const fanOutSeconds = Number(await broker.line()) / 1000;
    const fanOutCpuSeconds = cpuOf(broker) - cpuConnected;
    return { handshakesSeconds, handshakesCpuSeconds, fanOutSeconds, fanOutCpuSeconds, bytesPerConnection };
  } finally {
    await Promise.all(peers.map((peer) => peer.end()));
  }
}

class Peer {
  private readonly child: ChildProcess;
  private readonly lines: string[] = [];
  private wake: () => void = () => undefined;
  private gone = false;

  constructor(private readonly script: string) {
    const path = fileURLToPath(new URL(script, import.meta.url));
    this.child = spawn(process.execPath, [path], { stdio: ['pipe', 'pipe', 'inherit'] });
    let text = '';
    this.child.stdout?.setEncoding('utf8').on('data', (piece: string) => {
      text += piece;
      const whole = text.split('\n');
      text = whole.pop() ?? '';
      this.lines.push(...whole);
      this.wake();
    });
    this.child.once('exit', () => {
      this.gone = true;
      this.wake();
    });
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  tell(order: object): void {
    this.child.stdin?.write(`${JSON.stringify(order)}\n`);
  }

  async line(): Promise<string> {
    while (this.lines.length === 0) {
      if (this.gone) throw new Error(`${this.script} ended`);
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
    return this.lines.shift() ?? '';
  }

  async says(expected: string): Promise<void> {
    const said = await this.line();
    if (said !== expected) throw new Error(`${this.script} said ${said}, not ${expected}`);
  }

  async end(): Promise<void> {
    if (this.gone) return;
    const exited = new Promise<void>((resolve) => this.child.once('exit', () => resolve()));
    this.child.kill('SIGKILL');
    await exited;
  }
}

function rssOf({ pid }: Peer): number {
  return sizeOf([pid])?.rssBytes ?? Number.NaN;
}

function cpuOf({ pid }: Peer): number {
  return (cpuMsOf([pid]) ?? Number.NaN) / 1000;
}
