/** Which devices know something, by the version of the trust document that each reported. */
import { readTrustPayload } from '#shared/package/trust-acceptance.js';
import { reportedStateSchema } from '#shared/protocol/reported.js';
import type { DeviceAddress } from '#shared/protocol/topics.js';
import type { TrustDocument } from '#shared/protocol/trust.js';
import type { Database } from '#cloud/fleet/device-repository.js';
import type { TrustChain } from './trust-chain.js';

/** Those in service that do not, in order. What their tokens pinned is not known here. */
export async function devicesUnaware(
  db: Database,
  chain: TrustChain,
  knows: (document: TrustDocument) => boolean,
): Promise<DeviceAddress[]> {
  const rows = await db
    .selectFrom('devices')
    .select(['workspace', 'name', 'reportedJson'])
    .where('retiredAt', 'is', null)
    .orderBy('workspace')
    .orderBy('name')
    .execute();
  const judged = new Map<string, boolean>();
  const unaware: DeviceAddress[] = [];
  for (const { workspace, name, reportedJson } of rows) {
    const version = reportedStateSchema.parse(JSON.parse(reportedJson)).trust?.version ?? 0;
    const key = `${workspace}/${String(version)}`;
    if (!judged.has(key)) {
      const envelope = version === 0 ? undefined : await chain.find(workspace, version);
      const document = envelope && readTrustPayload(envelope);
      judged.set(key, document?.ok === true && knows(document.value));
    }
    if (judged.get(key) !== true) unaware.push({ workspace, device: name });
  }
  return unaware;
}

/** For a message: the first ten, and how many more. */
export function namedInShort(devices: readonly string[]): string {
  const more = devices.length > 10 ? ` and ${String(devices.length - 10)} more` : '';
  return `${devices.slice(0, 10).join(', ')}${more}`;
}
