/**
 * The identity of the installation as it is now: read anew when its files have changed, and once a day, since
 * certificates end. Whoever uses it asks at each use; whoever must act on a change is told.
 */
import type { InstallationIdentity } from './installation-identity.js';

type Listener = () => Promise<void>;

export class LivingIdentity {
  private readonly listeners: Listener[] = [];
  private turn: Promise<void> = Promise.resolve();
  /** What every listener has dealt with. */
  private told: string;

  private constructor(
    private readonly read: () => Promise<InstallationIdentity>,
    private present: InstallationIdentity,
  ) {
    this.told = stateOf(present);
  }

  static async open(read: () => Promise<InstallationIdentity>): Promise<LivingIdentity> {
    return new LivingIdentity(read, await read());
  }

  get current(): InstallationIdentity {
    return this.present;
  }

  /** Told in the order of these calls, the next one when the one before is done. */
  onChanged(listener: Listener): void {
    this.listeners.push(listener);
  }

  /** Ends when everybody has dealt with what changed; after a failure the next call tells them again. */
  refresh(): Promise<void> {
    const turn = this.turn.catch(() => undefined).then(() => this.refreshOnce());
    this.turn = turn;
    return turn;
  }

  private async refreshOnce(): Promise<void> {
    this.present = await this.read();
    const state = stateOf(this.present);
    if (state === this.told) return;
    for (const listener of this.listeners) await listener();
    this.told = state;
  }
}

function stateOf({ server, authorities }: InstallationIdentity): string {
  return [server.certificate, ...authorities].join('\n');
}
