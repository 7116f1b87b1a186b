/** A replica as the front sees it: what it has under way, whether it is asked, its connections at rest. */
import type { FrontImage, FrontReplica } from './front-table.js';
import { ReplicaConnection } from './replica-connection.js';
import * as health from './replica-health.js';

export interface ReplicaEvents {
  monotonicMs(): number;
  /** It was set aside. */
  sick(replicaId: string, why: string): void;
  /** It is out of the table, and has nothing under way any more. */
  idle(replica: Replica): void;
}

export class Replica {
  readonly id: string;
  /** Requests under way. */
  outstanding = 0;
  private state: FrontReplica['state'] | 'gone';
  private health = health.healthy;
  private readonly resting: ReplicaConnection[] = [];

  constructor(
    private readonly listed: FrontReplica,
    private readonly events: ReplicaEvents,
  ) {
    this.id = listed.id;
    this.state = listed.state;
  }

  get image(): FrontImage | undefined {
    return this.listed.image;
  }

  get ready(): boolean {
    return this.state === 'ready';
  }

  /** It answers, by all that is known. */
  get sound(): boolean {
    return this.health.untilMs === undefined || health.mayAsk(this.health, this.events.monotonicMs());
  }

  set(state: FrontReplica['state'] | 'gone'): void {
    this.state = state;
    if (state !== 'ready') for (const connection of this.resting.splice(0)) connection.destroy();
    if (state === 'gone' && this.outstanding === 0) this.events.idle(this);
  }

  /** For one request; {@link release} follows. */
  take(): void {
    this.outstanding += 1;
    this.health = health.asked(this.health);
  }

  release(): void {
    this.outstanding -= 1;
    this.health = health.untried(this.health);
    if (this.state === 'gone' && this.outstanding === 0) this.events.idle(this);
  }

  answered(): void {
    this.health = health.healthy;
  }

  failed(why: string): void {
    const before = this.health;
    this.health = health.failed(before, this.events.monotonicMs());
    if (this.health.ejections > before.ejections) this.events.sick(this.id, why);
  }

  connection(): ReplicaConnection {
    for (let kept = this.resting.pop(); kept !== undefined; kept = this.resting.pop()) {
      if (kept.fresh) return kept;
      kept.destroy();
    }
    const { address } = this.listed;
    return new ReplicaConnection(
      address,
      () => this.events.monotonicMs(),
      (connection, reusable) => this.freed(connection, reusable),
    );
  }

  private freed(connection: ReplicaConnection, reusable: boolean): void {
    const index = this.resting.indexOf(connection);
    if (!reusable) {
      if (index >= 0) this.resting.splice(index, 1);
    } else if (this.state !== 'ready') connection.destroy();
    else this.resting.push(connection);
  }
}
