/**
 * A web service of built programs under load while a replica is killed, a deployment gets another image, traffic moves
 * and the control plane is killed: what failed, and how late answers were. Then the same image asked on a device. With
 * `--tls` the front has a certificate, which is renewed meanwhile.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Asked, WatchedLoad } from '#test/support/services/watched-load.js';
import { RenewedCertificate } from '#test/support/services/renewed-certificate.js';
import { endpoint, WebService } from '#test/support/services/web-service.js';
import { hasProgram } from './front/nginx.js';
import { Wrk, type WrkResult } from './front/wrk.js';
import { compareWithDevice } from './services/beside-a-device.js';
import { judge, type Phase, printAnswerers, printPhases, printSeconds } from './services/phases.js';

const wrkConnections = 12;
const ownConnections = 4;
const steadyMs = 4000;
const stepMs = 1000;

interface Happening {
  readonly name: string;
  /** What was in a killed replica: at most one request of each connection. */
  readonly mayFail?: number;
  readonly work: () => Promise<void>;
}

export async function run(flags: readonly string[]): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'flotilla-services-bench-'));
  const certificate = flags.includes('--tls') ? await RenewedCertificate.in(folder) : undefined;
  const service = await WebService.open(['blue', 'green'], false, certificate);
  try {
    await service.buildSecond();
    if (!hasProgram('wrk')) {
      console.log(
        `wrk is not installed (Debian: apt-get install wrk): ${String(ownConnections)} connections of our own ask alone`,
      );
    }
    const wrk = hasProgram('wrk') ? await Wrk.posting(folder, service.body, service.headers, undefined) : undefined;
    await underLoad(service, wrk, certificate);
    await compareWithDevice(service);
  } finally {
    await service.close();
    await rm(folder, { recursive: true, force: true });
  }
}

async function underLoad(
  service: WebService,
  wrk: Wrk | undefined,
  certificate: RenewedCertificate | undefined,
): Promise<void> {
  const asked: Asked[] = [];
  const phases: Phase[] = [];
  // These keep their connections through all phases; those of wrk end with each, in the middle of requests.
  const load = new WatchedLoad(service, ownConnections, (each) => asked.push(each));
  try {
    for (const { name, mayFail = 0, work } of [...happenings(service), ...renewal(service, certificate)]) {
      const startMs = performance.now();
      let result: WrkResult | undefined;
      const around = async (): Promise<void> => {
        await sleep(stepMs);
        await work();
        await sleep(stepMs);
      };
      if (wrk) result = await wrk.during(service.url, wrkConnections, around);
      else await around();
      phases.push({ name, mayFail, startMs, endMs: performance.now(), wrk: result });
    }
  } finally {
    await load.stop();
  }
  const connections = wrk
    ? `${String(wrkConnections)} of wrk and ${String(ownConnections)} of ours`
    : String(ownConnections);
  console.log(
    `\ntwo deployments of two replicas; ${connections} connections that stay open${certificate ? ', over TLS' : ''}`,
  );
  printPhases(phases, asked);
  console.log('\np99 over time, of ours; a line a second');
  printSeconds(phases, asked);
  console.log('\nwho answered ours');
  printAnswerers(asked);
  judge(phases, asked);
}

function happenings(service: WebService): readonly Happening[] {
  const { world } = service;
  return [
    { name: 'nothing happens', work: () => sleep(steadyMs) },
    {
      name: 'a replica of blue is killed',
      mayFail: wrkConnections + ownConnections,
      work: async () => {
        const killed = await service.killReplica('blue');
        await service.whole('blue', killed);
      },
    },
    {
      name: 'blue gets digits:2',
      work: async () => {
        await world.flotilla('deployment', 'update', 'blue', '--endpoint', endpoint, '--image', 'digits:2');
      },
    },
    {
      name: 'green 0 to 100 %',
      work: async () => {
        for (const green of [10, 25, 50, 75, 100]) {
          await world.flotilla(
            'endpoint',
            'traffic',
            endpoint,
            `blue=${String(100 - green)}`,
            `green=${String(green)}`,
          );
          await sleep(stepMs);
        }
      },
    },
    {
      name: 'the control plane is killed',
      work: async () => {
        await service.restartCloud();
        await service.whole('green');
      },
    },
    {
      name: 'blue is deleted',
      work: async () => {
        await world.flotilla('deployment', 'delete', 'blue', '--endpoint', endpoint);
      },
    },
    { name: 'nothing happens any more', work: () => sleep(steadyMs) },
  ];
}

function renewal({ url }: WebService, certificate: RenewedCertificate | undefined): readonly Happening[] {
  if (!certificate) return [];
  const work = async (): Promise<void> => {
    await certificate.renew();
    for (let tries = 0; !(await certificate.isShown(Number(new URL(url).port))); tries++) {
      if (tries > 60) throw new Error('the front does not show the certificate that was renewed');
      await sleep(stepMs / 2);
    }
  };
  return [{ name: 'the certificate is renewed', work }];
}
