/**
 * A model over MQTT blocks against the same file over HTTP, on the same machine: the control plane's embedded
 * broker over TLS and its block server in one process, the agent's session and block client here. Both sides end
 * with the file on disk and its SHA-256 checked. Rounds of all are interleaved, medians compared.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { get as httpGet, type IncomingMessage } from 'node:http';
import { get as httpsGet } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { BlockClient } from '#agent/link/block-client.js';
import { DeviceSession } from '#agent/link/device-session.js';
import { systemClock } from '#shared/kernel/clock.js';
import { silent } from '#test/support/fleet-world.js';
import type { BenchServer } from './block-server-process.js';
import { median, printRatios } from './report.js';

const fileBytes = 50 * 1024 * 1024;
const rounds = 7;
const megabyte = 1e6;

export async function run(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'flotilla-bench-'));
  const child = fork(fileURLToPath(new URL('./block-server-process.js', import.meta.url)), [String(fileBytes)]);
  try {
    const server = await readyServer(child);
    const target = join(folder, 'file');
    const mqtt = await openDevice(server);
    const rates = { mqtt: [] as number[], http: [] as number[], https: [] as number[] };
    const subjects = {
      http: () => download(server, 'http', target),
      mqtt: () => mqtt.fetch(target),
      https: () => download(server, 'https', target),
    };
    // The first round warms up caches and compilers.
    for (let round = 0; round <= rounds; round++) {
      for (const name of ['http', 'mqtt', 'https'] as const) {
        const begin = performance.now();
        await subjects[name]();
        const rate = fileBytes / megabyte / ((performance.now() - begin) / 1000);
        if (round > 0) rates[name].push(rate);
      }
    }
    await mqtt.close();
    console.log(
      `a file of ${String(fileBytes / 1024 / 1024)} MiB to disk, verified; medians of ${String(rounds)} interleaved rounds`,
    );
    const ours = median(rates.mqtt);
    printRatios([
      {
        what: 'MQTT blocks (TLS) against plain HTTP',
        ours,
        limit: median(rates.http),
        unit: 'MB/s',
        goal: { kind: 'at least', ratio: 0.7 },
      },
      { what: 'MQTT blocks (TLS) against HTTPS', ours, limit: median(rates.https), unit: 'MB/s' },
    ]);
  } finally {
    const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    child.disconnect();
    await exited;
    await rm(folder, { recursive: true, force: true });
  }
}

async function readyServer(child: ChildProcess): Promise<BenchServer> {
  return new Promise((resolve, reject) => {
    child.once('message', (message) => resolve(message as BenchServer));
    child.once('exit', (code) => reject(new Error(`the server process ended with ${String(code)}`)));
  });
}

async function openDevice(
  server: BenchServer,
): Promise<{ fetch(target: string): Promise<void>; close(): Promise<void> }> {
  let connected: () => void = () => undefined;
  const up = new Promise<void>((resolve) => {
    connected = resolve;
  });
  const blocks = new BlockClient({
    clock: systemClock,
    firstId: 1,
    publish: (request) => void session.publish('blocksGet', request),
  });
  const session = new DeviceSession(
    {
      address: { workspace: 'w', device: 'bench' },
      urls: [server.broker.url],
      serverName: server.broker.serverName,
      proxy: { proxy: undefined, noProxy: '' },
      bootId: 1,
      agentVersion: 'bench',
      keepaliveSeconds: 60,
      reconnect: { baseMs: 100, maxMs: 1_000 },
      connectTimeoutMs: 5_000,
    },
    {
      clock: systemClock,
      random: Math.random,
      logger: silent,
      client: () => server.device,
      authorities: () => [server.broker.authority],
      trustedNow: () => Number.NEGATIVE_INFINITY,
      onLink: (isUp) => {
        blocks.linkChanged(isUp);
        if (isUp) connected();
      },
      onMessage: (channel, _id, payload) => {
        if (channel === 'blocksData') blocks.receive(payload);
      },
    },
  );
  session.start();
  await up;
  const wanted = server.chunks.map((chunk, index) => ({ ...chunk, index }));
  return {
    fetch: async (target) => {
      const file = await open(target, 'w');
      try {
        await blocks.fetch(
          { kind: 'chunks', map: server.map },
          wanted,
          async (chunk, bytes) => {
            await file.write(bytes, 0, bytes.length, chunk.offset);
          },
          new AbortController().signal,
        );
      } finally {
        await file.close();
      }
    },
    close: () => session.stop(),
  };
}

async function download(server: BenchServer, scheme: 'http' | 'https', target: string): Promise<void> {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const options = { host: '127.0.0.1', agent: false };
    const sent =
      scheme === 'http'
        ? httpGet({ ...options, port: server.httpPort }, resolve)
        : httpsGet(
            { ...options, port: server.httpsPort, ca: server.broker.authority, servername: server.broker.serverName },
            resolve,
          );
    sent.once('error', reject);
  });
  const hash = createHash('sha256');
  const file = await open(target, 'w');
  try {
    for await (const piece of response as AsyncIterable<Buffer>) {
      hash.update(piece);
      await file.write(piece);
    }
  } finally {
    await file.close();
  }
  if (hash.digest('hex') !== server.sha256) throw new Error('the download is damaged');
}
