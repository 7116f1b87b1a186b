/** A fleet world with the real device gateway in front: HTTPS, the certificate checked as a device checks it. */
import { request } from 'node:https';
import type { AddressInfo } from 'node:net';
import { Writable } from 'node:stream';
import { pino } from 'pino';
import { type DeviceKeys, makeDeviceKeys } from '#agent/identity/device-keys.js';
import { createGateway } from '#cloud/gateway/gateway.js';
import type { App } from '#cloud/http/app.js';
import type { InstallationIdentity } from '#cloud/trust/installation-identity.js';
import { controlPlaneServerName, type EnrolmentResponse, enrolmentResponseSchema } from '#shared/protocol/enrolment.js';
import { capabilities, FleetWorld, identityIn, showKeys } from './fleet-world.js';

export interface Answer {
  readonly status: number;
  readonly body: unknown;
}

export type EnrolmentChange = Readonly<Record<string, unknown>> & { readonly device?: string | undefined };

export class GatewayWorld {
  log = '';

  private constructor(
    readonly fleet: FleetWorld,
    readonly identity: InstallationIdentity,
    private gateway: App | undefined,
  ) {}

  static async open(): Promise<GatewayWorld> {
    const fleet = await FleetWorld.open();
    const identity = await identityIn(fleet.folder);
    const world = new GatewayWorld(fleet, identity, undefined);
    const sink = new Writable({
      write(chunk: Buffer, _encoding, done) {
        world.log += chunk.toString();
        done();
      },
    });
    world.gateway = await createGateway({
      logger: pino({ level: 'trace' }, sink),
      clock: fleet.clock,
      certificate: identity.server.certificate,
      privateKey: identity.server.privateKey,
      authorities: identity.authorities,
      upgrades: [],
      enrolment: fleet.enrolment,
      renewal: fleet.renewal,
      trust: () => ({
        director: fleet.director.publicKey,
        broker: { url: 'mqtts://127.0.0.1:8883', serverName: controlPlaneServerName },
      }),
    });
    await world.gateway.listen({ host: '127.0.0.1', port: 0 });
    return world;
  }

  get app(): App {
    if (this.gateway === undefined) throw new Error('not open');
    return this.gateway;
  }

  get url(): string {
    return `https://127.0.0.1:${String((this.app.server.address() as AddressInfo).port)}`;
  }

  async close(): Promise<void> {
    await this.gateway?.close();
    await this.fleet.close();
  }

  /** @param client PEM, what is shown by TLS */
  post(
    path: string,
    body: unknown,
    client?: { readonly certificate: string; readonly privateKey: string },
  ): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const sent = request(
        `${this.url}${path}`,
        {
          method: 'POST',
          ca: this.identity.authority,
          servername: controlPlaneServerName,
          headers: { 'content-type': 'application/json' },
          agent: false,
          ...(client === undefined ? {} : { cert: client.certificate, key: client.privateKey }),
        },
        (response) => {
          let text = '';
          response.on('data', (chunk: Buffer) => {
            text += chunk.toString();
          });
          response.on('end', () => resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) as unknown }));
        },
      );
      sent.on('error', reject);
      sent.end(JSON.stringify(body));
    });
  }

  /** With keys of its own each time, unless the change brings some. `device: undefined` leaves the naming to a claim. */
  async enrol(secret: string, change: EnrolmentChange = {}): Promise<Answer> {
    const device = 'device' in change ? change.device : 'cam';
    const shown = await showKeys(makeDeviceKeys(), 'w', device);
    return this.post('/v1/enrol', { workspace: 'w', secret, device, ...shown, capabilities, ...change });
  }

  /** A device with all that it holds. */
  async device(name: string): Promise<DeviceKeys & EnrolmentResponse> {
    const { secret } = await this.fleet.enrolment.createToken('w', 60_000, {});
    const keys = makeDeviceKeys();
    const { body } = await this.enrol(secret, { device: name, ...(await showKeys(keys, 'w', name)) });
    return { ...enrolmentResponseSchema.parse(body), ...keys };
  }

  async audited(): Promise<{ action: string; target: string; outcome: string; details: unknown }[]> {
    const rows = await this.fleet.control.selectFrom('auditEntries').selectAll().orderBy('sequence').execute();
    return rows.map(({ action, target, outcome, detailsJson }) => ({
      action,
      target,
      outcome,
      details: JSON.parse(detailsJson) as unknown,
    }));
  }
}
