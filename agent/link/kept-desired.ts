/** The accepted desired document on disk, as it was signed: it must verify again at each start. */
import { type Clock, toInstant } from '#shared/kernel/clock.js';
import type { Desired } from '#shared/protocol/desired.js';
import type { Envelope } from '#shared/protocol/envelope.js';
import type { DeviceAddress } from '#shared/protocol/topics.js';
import type { TrustSource } from '#agent/identity/device-trust.js';
import { verifyDesired } from '#agent/link/desired-inbox.js';
import type { StateDocuments } from '#agent/store/state-documents.js';

export class KeptDesired {
  constructor(
    private readonly documents: StateDocuments,
    private readonly address: DeviceAddress,
    private readonly trust: TrustSource,
    private readonly clock: Clock,
  ) {}

  /** A document that was changed on disk is not obeyed, and asked for anew. */
  async read(onDamage: (what: string) => void): Promise<Desired | undefined> {
    const { documents, address, trust } = this;
    const kept = await documents.readOrLose(documents.desired);
    if (kept === undefined) return undefined;
    const read = verifyDesired(kept.envelope, trust.current().directors);
    if (!read.ok) {
      onDamage(`the kept desired document is not used: ${read.error.message}`);
      return undefined;
    }
    const { desired } = read.value;
    return desired.workspace === address.workspace && desired.device === address.device ? desired : undefined;
  }

  async write(envelope: Envelope): Promise<void> {
    await this.documents.desired.write({ envelope, acceptedAt: toInstant(this.clock.now()) });
  }
}
