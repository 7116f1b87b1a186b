/**
 * Keeps stored desired documents in step with what has changed around them: a key of the director that has
 * not signed them, an image that more publishers have signed since. Found from the database alone, hence
 * after a kill too; run at the start, now and then, and when somebody knows of a change.
 */
import { SingleFlight } from '#shared/platform/single-flight.js';
import { envelopeSchema } from '#shared/protocol/envelope.js';
import type { DeviceAddress } from '#shared/protocol/topics.js';
import type { Director } from '#cloud/trust/director-keys.js';
import { imagesOf } from './desired-document.js';
import { openStoredDesired } from './desired-envelope.js';
import type { Database } from './device-repository.js';
import type { Twin } from './twin.js';

export interface DesiredUpkeepOptions {
  readonly db: Database;
  readonly twin: Pick<Twin, 'renew' | 'reissue'>;
  readonly director: Pick<Director, 'keyIds'>;
  readonly onError: (error: unknown) => void;
}

export class DesiredUpkeep {
  private readonly flight: SingleFlight;

  constructor(private readonly options: DesiredUpkeepOptions) {
    this.flight = new SingleFlight(async () => {
      await this.run();
    }, options.onError);
  }

  wake(): void {
    this.flight.wake();
  }

  async stop(): Promise<void> {
    await this.flight.stop();
  }

  async run(): Promise<void> {
    const { db, twin, director } = this.options;
    const signatures = await this.signatureDigests();
    const devices = await db
      .selectFrom('devices')
      .select(['workspace', 'name as device', 'desiredEnvelope'])
      .where('retiredAt', 'is', null)
      .where('desiredEnvelope', 'is not', null)
      .execute();
    for (const { workspace, device, desiredEnvelope } of devices) {
      if (desiredEnvelope === null) continue;
      const address: DeviceAddress = { workspace, device };
      const desired = openStoredDesired(desiredEnvelope);
      const resigned = imagesOf(desired).some(({ digest, signature }) => {
        const now = signatures.get(`${workspace} ${digest}`);
        return now !== undefined && now !== signature.digest;
      });
      if (resigned) await twin.reissue(address, desired.generation);
      else if (!sameKeys(desiredEnvelope, director.keyIds())) await twin.renew(address);
    }
  }

  /** By workspace and image. */
  private async signatureDigests(): Promise<Map<string, string>> {
    const rows = await this.options.db
      .selectFrom('images')
      .innerJoin('deployments', (join) =>
        join
          .onRef('deployments.workspace', '=', 'images.workspace')
          .onRef('deployments.imageDigest', '=', 'images.digest'),
      )
      .select(['images.workspace', 'images.digest', 'images.signatureDigest'])
      .where('deployments.removedGeneration', 'is', null)
      .distinct()
      .execute();
    const variants = await this.options.db
      .selectFrom('images')
      .innerJoin('imageVariants', (join) =>
        join
          .onRef('imageVariants.workspace', '=', 'images.workspace')
          .onRef('imageVariants.digest', '=', 'images.digest'),
      )
      .select(['images.workspace', 'images.digest', 'images.signatureDigest'])
      .distinct()
      .execute();
    const shadows = await this.options.db
      .selectFrom('images')
      .innerJoin('shadows', (join) =>
        join.onRef('shadows.workspace', '=', 'images.workspace').onRef('shadows.imageDigest', '=', 'images.digest'),
      )
      .select(['images.workspace', 'images.digest', 'images.signatureDigest'])
      .distinct()
      .execute();
    return new Map(
      [...rows, ...shadows, ...variants].map((row) => [`${row.workspace} ${row.digest}`, row.signatureDigest]),
    );
  }
}

function sameKeys(envelopeText: string, keyIds: readonly string[]): boolean {
  const { signatures } = envelopeSchema.parse(JSON.parse(envelopeText));
  const signed = new Set(signatures.map(({ keyid }) => keyid));
  return signed.size === keyIds.length && keyIds.every((id) => signed.has(id));
}
