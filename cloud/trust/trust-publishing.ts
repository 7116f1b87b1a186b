/**
 * Takes new versions of the trust document from those who signed them, and hands them to devices. Nothing
 * here can make one: that takes a publisher's key. What no device would accept, or what would cut every
 * device off from this control plane, is refused before it is stored, since a version is given only once.
 */
import { toInstant, type Clock } from '#shared/kernel/clock.js';
import { AppError } from '#shared/kernel/errors.js';
import { acceptTrust, readTrustPayload } from '#shared/package/trust-acceptance.js';
import { encodeMessage, maxMessageBytes } from '#shared/protocol/decode.js';
import type { Envelope } from '#shared/protocol/envelope.js';
import { buildTopic, channels, type DeviceAddress } from '#shared/protocol/topics.js';
import { maxTrustBytes, type Trust, type TrustData, type TrustDocument } from '#shared/protocol/trust.js';
import type { Database, DeviceRepository } from '#cloud/fleet/device-repository.js';
import type { OutboxRepository } from '#cloud/fleet/outbox-repository.js';
import type { TrustChain } from './trust-chain.js';

/** The keys and certificates that this control plane has now: what is used, and what is to follow. */
export interface InstallationTrust {
  readonly directors: readonly string[];
  /** PEM, the current one first. */
  readonly authorities: readonly string[];
}

export interface TrustPublishingOptions {
  readonly db: Database;
  readonly chain: TrustChain;
  readonly devices: DeviceRepository;
  readonly outbox: OutboxRepository;
  readonly installation: () => InstallationTrust;
  readonly clock: Clock;
  /** Told after a commit: something waits in the outbox. */
  readonly onCommitted: () => void;
}

/** Of one answer; as many as `trustDataSchema` allows. */
const maxEnvelopes = 16;
const roomBytes = maxMessageBytes - 1024;

export class TrustPublishing {
  constructor(private readonly options: TrustPublishingOptions) {}

  /** @returns the version. @throws AppError `trust.*`, `signature.*` */
  async publish(workspace: string, envelope: Envelope): Promise<number> {
    const { db, chain, devices, outbox, clock } = this.options;
    const version = await db.transaction().execute(async (transaction) => {
      const versions = chain.within(transaction);
      const newest = await versions.newest(workspace);
      const document = judgeUpload(workspace, envelope, await versions.find(workspace, newest));
      if (document === undefined) return newest;
      requireReach(document, this.options.installation());
      const now = toInstant(clock.now());
      await versions.add(workspace, { version: document.version, envelope }, now);
      const payload = JSON.stringify({ schema: 1, newest: document.version, envelopes: [envelope] });
      const { qos, retain } = channels.trustData;
      const told = outbox.within(transaction);
      for (const device of await devices.within(transaction).listNames(workspace)) {
        const topic = buildTopic({ workspace, device, channel: 'trustData' });
        await told.add({ workspace, topic, payload, qos, retain, createdAt: now });
      }
      return document.version;
    });
    this.options.onCommitted();
    return version;
  }

  /** For a device that asks for what is above a version. */
  async answer({ workspace }: DeviceAddress, after: number): Promise<TrustData> {
    const { chain } = this.options;
    const envelopes: Envelope[] = [];
    let bytes = 0;
    for (const { envelope } of await chain.after(workspace, after, maxEnvelopes)) {
      bytes += encodeMessage(envelope).length + 1;
      if (bytes > roomBytes) break;
      envelopes.push(envelope);
    }
    return { schema: 1, newest: await chain.newest(workspace), envelopes };
  }
}

/** @returns undefined for the newest version again: whoever lost the first answer may ask twice */
function judgeUpload(workspace: string, envelope: Envelope, newest: Envelope | undefined): TrustDocument | undefined {
  const offered = readTrustPayload(envelope);
  if (!offered.ok) throw new AppError(offered.error.code, offered.error.message);
  if (Buffer.byteLength(JSON.stringify(envelope)) > maxTrustBytes) {
    throw new AppError('trust.invalid', `a signed trust document has at most ${String(maxTrustBytes)} bytes`);
  }
  const verdict = acceptTrust(envelope, { ...trustBefore(offered.value, newest), workspace });
  if (!verdict.ok) throw new AppError(verdict.error.code, verdict.error.message);
  if (newest === undefined && offered.value.version !== 1) {
    throw new AppError('trust.gap', 'this workspace has no trust document yet: the first one is version 1');
  }
  return verdict.value.news ? verdict.value.document : undefined;
}

/** Whom the first version may come from is known to the devices alone: each has its own pins. */
function trustBefore(offered: TrustDocument, newest: Envelope | undefined): Trust {
  const stored = newest && readTrustPayload(newest);
  if (stored?.ok === true) return stored.value;
  return { ...offered, version: 0, withdrawn: [], threshold: 1 };
}

/** @throws AppError `trust.invalid` when devices that follow it would be lost to this control plane */
function requireReach(document: TrustDocument, { directors, authorities }: InstallationTrust): void {
  const [current] = authorities;
  if (!document.directors.some((key) => directors.includes(key))) {
    throw new AppError(
      'trust.invalid',
      `it names none of this control plane's directors (${directors.join(', ')}): no device would obey it any more. Propose it anew`,
    );
  }
  if (current !== undefined && !document.authorities.some((pem) => authorities.includes(pem))) {
    throw new AppError(
      'trust.invalid',
      "it names none of this control plane's certificate authorities: no device could connect any more. Propose it anew",
    );
  }
}
