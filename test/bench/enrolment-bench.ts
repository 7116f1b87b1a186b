/** 1,000 devices come by one fleet claim over TLS, 16 at a time: how long it takes, and what the control plane needs. */
import { generateKeyPairSync } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { signingRequestFor } from '#agent/identity/device-keys.js';
import { ownPort } from '#test/support/own-port.js';
import { Daemon } from '#cloud/quickstart/program.js';
import { controlPlaneServerName } from '#shared/protocol/enrolment.js';
import { capabilities } from '#test/support/fleet-world.js';

const devices = 1000;
const atOnce = 16;

export async function run(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'flotilla-enrolment-bench-'));
  const port = async (): Promise<string> => String(await ownPort());
  const [api, gateway, broker] = [await port(), await port(), await port()];
  const args = [
    '--data-dir',
    folder,
    '--http-tls',
    'off',
    '--http-port',
    api,
    '--gateway-port',
    gateway,
    '--broker-port',
    broker,
  ];
  const cloud = new Daemon({
    build: join(import.meta.dirname, '../..'),
    name: 'flotilla',
    args: ['cloud', ...args],
    env: { HOME: folder },
  });
  try {
    const owner = await cloud.until(
      'printing its owner token',
      30_000,
      () => /\bflt_[A-Za-z0-9_-]+/.exec(cloud.output)?.[0],
    );
    const answer = await fetch(`http://127.0.0.1:${api}/v1/workspaces/default/fleet-claims`, {
      method: 'POST',
      headers: { authorization: `Bearer ${owner}`, 'content-type': 'application/json' },
      body: JSON.stringify({ name: 'factory-7', maxDevices: devices, ratePerSecond: 1000 }),
    });
    const { secret } = (await answer.json()) as { secret: string };
    const bodies: string[] = [];
    for (let n = 0; n < devices; n++) bodies.push(await enrolmentOf(`cam-${String(n)}`, secret));
    const before = await residentMegabytes(cloud.pid);
    let peak = before;
    const watch = setInterval(() => void residentMegabytes(cloud.pid).then((now) => (peak = Math.max(peak, now))), 200);
    const times: number[] = [];
    const begun = performance.now();
    await Promise.all(
      Array.from({ length: atOnce }, async () => {
        for (let body = bodies.pop(); body !== undefined; body = bodies.pop()) {
          const at = performance.now();
          await enrol(gateway, body);
          times.push(performance.now() - at);
        }
      }),
    );
    const seconds = (performance.now() - begun) / 1000;
    clearInterval(watch);
    await sleep(1000);
    times.sort((a, b) => a - b);
    const at = (share: number): string => (times[Math.floor(times.length * share)] ?? 0).toFixed(0);
    console.log(
      `${String(devices)} enrolments by fleet claim, ${String(atOnce)} at a time: ${seconds.toFixed(1)} s, ${(devices / seconds).toFixed(0)} a second`,
    );
    console.log(`one: p50 ${at(0.5)} ms, p99 ${at(0.99)} ms`);
    console.log(
      `control plane, resident: ${String(before)} MB before, ${String(peak)} MB at most, ${String(await residentMegabytes(cloud.pid))} MB after`,
    );
  } finally {
    await cloud.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

async function enrolmentOf(device: string, secret: string): Promise<string> {
  const privateKey = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({
    format: 'pem',
    type: 'pkcs8',
  });
  const csr = await signingRequestFor(privateKey.toString(), `default/${device}`);
  return JSON.stringify({ workspace: 'default', secret, device, csr, sealingKey: 'A'.repeat(43), capabilities });
}

function enrol(port: string, body: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json' };
    const tls = { servername: controlPlaneServerName, rejectUnauthorized: false, agent: false };
    const sent = request(`https://127.0.0.1:${port}/v1/enrol`, { method: 'POST', headers, ...tls }, (response) => {
      let text = '';
      response.on('data', (part: Buffer) => {
        text += part.toString();
      });
      response.on('end', () => (response.statusCode === 201 ? resolve() : reject(new Error(text))));
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

async function residentMegabytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${String(pid)}/status`, 'utf8');
  return Math.round(Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024);
}
