/** Numbers of deployments from a service host whose front and replicas are a test's, to a real telemetry store. */
import { pino } from 'pino';
import { systemClock } from '#shared/kernel/clock.js';
import { AppError } from '#shared/kernel/errors.js';
import type { DesiredEndpoint } from '#cloud/services/desired-services.js';
import type { FrontImage } from '#cloud/services/front/front-table.js';
import { TelemetryPull } from '#cloud/services/control/telemetry-pull.js';
import { HostTelemetry } from '#cloud/services/host/telemetry/host-telemetry.js';
import { ToldDocument } from '#cloud/services/host/telemetry/told-document.js';
import type { IngestResult, ModuleTelemetry, ReceivedBatch } from '#cloud/telemetry/telemetry-port.js';
import type { TelemetryRepository } from '#cloud/telemetry/telemetry-repository.js';
import { someDigest, sketchOf } from '../telemetry-batches.js';
import { QuietFront } from './quiet-front.js';

export const someImage: FrontImage = { name: 'digits', version: 3, digest: someDigest };

export class NumbersWorld {
  front = new QuietFront();
  host: HostTelemetry;
  /** What happens to the answer of a service host, and to what is stored of it. */
  fault: 'none' | 'answer lost' | 'not stored' | 'stored and killed' = 'none';
  mirror: DesiredEndpoint['mirror'];
  askReplicas: () => Promise<unknown> = async () => undefined;
  private pull: TelemetryPull;

  constructor(
    private readonly store: TelemetryRepository,
    private readonly folder: string,
    readonly workspace: string,
  ) {
    this.host = this.newHost();
    this.pull = this.newPull();
  }

  count(requests: number, errors: Record<string, number> = {}, image = someImage, deployment = 'blue'): void {
    const latencyMs = sketchOf(...new Array<number>(requests).fill(2));
    const of = { workspace: this.workspace, endpoint: 'fraud', deployment };
    this.front.counted.push({ ...of, image, requests, errors, latencyMs });
  }

  /** With what fails by a fault, all is as after a pull that was never made. */
  async ask(fault: NumbersWorld['fault'] = 'none'): Promise<void> {
    this.fault = fault;
    await this.pull.run();
    this.fault = 'none';
    if (fault === 'stored and killed') this.restartControlPlane();
  }

  restartControlPlane(): void {
    this.pull = this.newPull();
  }

  async restartHost(): Promise<void> {
    await this.host.stop();
    this.front = new QuietFront();
    this.host = this.newHost();
    await this.host.start();
  }

  async told(deployment = 'blue'): Promise<readonly ModuleTelemetry[]> {
    const of = { workspace: this.workspace, device: `fraud/${deployment}`, fromMs: 0 };
    return (await this.store.telemetry(of)).modules;
  }

  private newHost(): HostTelemetry {
    return new HostTelemetry({
      ...{ clock: systemClock, front: this.front, generation: () => 7 },
      document: new ToldDocument(this.folder, (error) => {
        throw error;
      }),
      askReplicas: () => this.askReplicas(),
      endpoint: (id): DesiredEndpoint => ({
        ...{ id, workspace: this.workspace, name: 'fraud', auth: { mode: 'none' }, deployments: [], traffic: {} },
        mirror: this.mirror,
      }),
    });
  }

  private newPull(): TelemetryPull {
    return new TelemetryPull({
      ...{ clock: systemClock, logger: pino({ level: 'silent' }) },
      running: async () => ({
        telemetry: async (acknowledged) => {
          const told = await this.host.telemetry(acknowledged);
          if (this.fault === 'answer lost') throw new AppError('service.unavailable', 'its answer was lost');
          return told;
        },
      }),
      store: { ingest: (batches) => this.ingest(batches) },
    });
  }

  private async ingest(batches: readonly ReceivedBatch[]): Promise<IngestResult> {
    if (this.fault === 'not stored') throw new AppError('disk.full', 'no room');
    const result = await this.store.ingest(batches);
    if (this.fault === 'stored and killed') throw new AppError('request.aborted', 'it is killed');
    return result;
  }
}
