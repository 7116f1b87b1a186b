/** A built control plane with one endpoint, `numbers`, and its deployments; what load on it and kills of its parts need. */
import { cp, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { EndpointStatusBody } from '#cloud/http/schemas/endpoints.js';
import { ServiceHostClient } from '#cloud/services/host/service-host-client.js';
import { ownPort } from '../own-port.js';
import { repository, World } from '../world.js';
import type { RenewedCertificate } from './renewed-certificate.js';

export const endpoint = 'numbers';
const digits = join(repository, 'modules/digits');

export class WebService {
  private constructor(
    readonly world: World,
    /** Where the digits are scored. */
    readonly url: string,
    readonly headers: Readonly<Record<string, string>>,
    readonly body: Buffer,
    private readonly certificate: RenewedCertificate | undefined,
  ) {}

  /**
   * @param deployments their names, of two replicas of `digits:1` each; the first answers everything
   * @param certificate of the front; absent: it is asked without TLS
   */
  static async open(
    deployments: readonly string[],
    operatorInProcess: boolean,
    certificate?: RenewedCertificate,
  ): Promise<WebService> {
    const port = String(await ownPort());
    const tls = certificate?.settings ?? { FLOTILLA_SERVICES_TLS: 'off' };
    const cloud = () => ({ FLOTILLA_SERVICES_PORT: port, ...tls });
    const world = await World.create({ cloud, operatorInProcess });
    try {
      await world.open();
      await world.flotilla('trust', 'propose', '--publish');
      await world.flotilla('image', 'build', digits);
      await world.flotilla('endpoint', 'create', endpoint);
      for (const [index, name] of deployments.entries()) {
        const flags = ['--image', 'digits:1', '--replicas', '2', '--concurrency', '64'];
        await world.flotilla(
          ...['deployment', 'create', name, '--endpoint', endpoint, ...flags],
          ...(index === 0 ? ['--all-traffic'] : []),
        );
      }
      const { primary } = (await world.flotillaJson('endpoint', 'keys', 'show', endpoint)) as { primary: string };
      const body = await readFile(join(digits, 'fixtures/digit.json'));
      const headers = { 'content-type': 'application/json', authorization: `Bearer ${primary}` };
      return new WebService(world, await scoreUrl(world), headers, body, certificate);
    } catch (error) {
      await closeWorld(world);
      throw error;
    }
  }

  /** Of the front, PEM. */
  get authority(): string | undefined {
    return this.certificate?.authority;
  }

  /** Another model of the digits, as `digits:2`. */
  async buildSecond(): Promise<void> {
    const second = join(this.world.folder, 'digits');
    await cp(digits, second, { recursive: true });
    await cp(join(digits, 'model-v2.onnx'), join(second, 'model.onnx'));
    await cp(join(digits, 'golden-v2.json'), join(second, 'golden.json'));
    await this.world.flotilla('image', 'build', second);
  }

  /** SIGKILL to one of its replicas. @returns its process */
  async killReplica(deployment: string): Promise<number> {
    const [pid] = await this.replicas(deployment);
    if (pid === undefined) throw new Error(`${deployment} has no replica that is ready`);
    process.kill(pid, 'SIGKILL');
    return pid;
  }

  /** The processes of the replicas that are ready. */
  async replicas(deployment: string): Promise<readonly number[]> {
    const { status } = await shown(this.world);
    const { replicas = [] } = status.deployments.find(({ name }) => name === deployment) ?? {};
    return replicas
      .filter(({ state }) => state === 'ready')
      .flatMap(({ process: name }) => (name === undefined ? [] : [Number(name.split(' ')[1])]));
  }

  /** Until a deployment has two replicas ready, and none of them is the one given. */
  async whole(deployment: string, without = 0): Promise<void> {
    await this.world.cloud?.until(`whole (${deployment})`, 60_000, async () => {
      const ready = await this.replicas(deployment);
      return ready.length === 2 && !ready.includes(without) ? true : undefined;
    });
  }

  /** SIGKILL to the control plane, and another start of it. */
  async restartCloud(): Promise<void> {
    this.world.cloud?.kill('SIGKILL');
    await this.world.cloud?.exited;
    await this.world.startCloud();
  }

  close(): Promise<void> {
    return closeWorld(this.world);
  }
}

async function shown(world: World): Promise<{ readonly status: EndpointStatusBody }> {
  return (await world.flotillaJson('endpoint', 'show', endpoint)) as { status: EndpointStatusBody };
}

async function scoreUrl(world: World): Promise<string> {
  const { scoreUrl: url } = (await shown(world)).status;
  if (url === undefined) throw new Error('the endpoint has no address');
  return url;
}

/**
 * The service host is nobody's child: it ends last, since a control plane that runs starts another. Its socket goes
 * before it does, and meanwhile it still writes.
 */
export async function closeWorld(world: World): Promise<void> {
  await world.stopAll();
  const host = new ServiceHostClient(() => join(world.dataDir, 'services/control.sock'));
  const about = await host.about().catch(() => undefined);
  await host.stop().catch(() => undefined);
  for (let tries = 0; tries < 400 && about !== undefined && isAlive(about.pid); tries++) await sleep(50);
  await world.close();
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
