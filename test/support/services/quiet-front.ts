/** A front that nobody asks: it keeps the table, and tells what a test wants it to tell. */
import type { FrontReplica, FrontTable } from '#cloud/services/front/front-table.js';
import type { MirrorDrop, MirroredPair } from '#cloud/services/front/mirror.js';
import type { DeploymentImageNumbers } from '#cloud/services/front/routing-table.js';
import type { FrontPort } from '#cloud/services/host/front-port.js';
import type { DeploymentNumbers } from '#cloud/services/services-status.js';

export class QuietFront implements FrontPort {
  table: FrontTable = { endpoints: [] };
  need: (endpoint: string, deployment: string) => void = () => undefined;
  outstanding = 0;
  readonly counted: DeploymentImageNumbers[] = [];
  mirrored: (pair: MirroredPair) => void = () => undefined;
  dropped: (drop: MirrorDrop) => void = () => undefined;

  apply(table: FrontTable): void {
    this.table = table;
  }

  ready(): FrontReplica[] {
    const deployments = this.table.endpoints.flatMap((endpoint) => endpoint.deployments);
    return deployments.flatMap(({ replicas }) => replicas.filter(({ state }) => state === 'ready'));
  }

  numbers(): DeploymentNumbers {
    return { requests: 0, errors: 0, rejected: 0, outstanding: this.outstanding };
  }

  outstandingOf(): number {
    return 0;
  }

  onNeed(callback: (endpoint: string, deployment: string) => void): void {
    this.need = callback;
  }

  onSick(): void {
    // Nobody is.
  }

  families(): [] {
    return [];
  }

  takeNumbers(): DeploymentImageNumbers[] {
    return this.counted.splice(0);
  }

  onMirrored(callback: (pair: MirroredPair) => void): void {
    this.mirrored = callback;
  }

  onMirrorDropped(callback: (drop: MirrorDrop) => void): void {
    this.dropped = callback;
  }

  async close(): Promise<void> {
    // Nothing is under way.
  }
}
