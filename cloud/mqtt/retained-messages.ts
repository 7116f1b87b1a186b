/**
 * Retained messages of the embedded broker, found by what a filter begins with. The memory that aedes comes with tries
 * each retained message against each subscription: a fleet that comes back would cost the square of its size.
 */
import { Readable } from 'node:stream';
import type { Aedes, AedesPublishPacket } from 'aedes';
import { matchesFilter } from '#shared/protocol/local-topic.js';

/** Levels of a topic that say whose it is: `flotilla/v1/<workspace>/<device>`. */
const ownerLevels = 4;

/** The part of aedes' persistence that retained messages go through. */
interface RetainedPersistence {
  storeRetained(packet: AedesPublishPacket): Promise<void>;
  createRetainedStream(filter: string): Readable;
  createRetainedStreamCombi(filters: readonly string[]): Readable;
}

/** Of a broker that has retained nothing yet. */
export function keepRetainedByOwner(aedes: Aedes): void {
  const retained = new RetainedMessages();
  const { persistence } = aedes as unknown as { readonly persistence: RetainedPersistence };
  Object.assign(persistence, {
    storeRetained: (packet) => {
      retained.store(packet);
      return Promise.resolve();
    },
    createRetainedStream: (filter) => Readable.from(retained.matching(filter)),
    createRetainedStreamCombi: (filters) => Readable.from(filters.flatMap((filter) => retained.matching(filter))),
  } satisfies RetainedPersistence);
}

export class RetainedMessages {
  /** By owner, then by topic. */
  private readonly byOwner = new Map<string, Map<string, AedesPublishPacket>>();

  /** In place of the one of the same topic; an empty payload removes it. */
  store(packet: AedesPublishPacket): void {
    const { topic, payload } = packet;
    const owner = ownerOf(topic);
    const messages = this.byOwner.get(owner) ?? new Map<string, AedesPublishPacket>();
    if (payload.length > 0) {
      messages.set(topic, { ...packet });
      this.byOwner.set(owner, messages);
    } else if (messages.delete(topic) && messages.size === 0) this.byOwner.delete(owner);
  }

  matching(filter: string): AedesPublishPacket[] {
    return [...this.candidates(filter)]
      .filter(([topic]) => topic === filter || matchesFilter(topic, filter))
      .map(([, packet]) => packet);
  }

  private *candidates(filter: string): Iterable<[string, AedesPublishPacket]> {
    const owner = ownerOf(filter);
    // The `#` of `a/b/#` stands for `a/b` too, which has another owner.
    if (/[+#]/.test(owner)) for (const messages of this.byOwner.values()) yield* messages;
    else yield* this.byOwner.get(owner) ?? [];
  }
}

function ownerOf(topic: string): string {
  return topic.split('/', ownerLevels).join('/');
}
