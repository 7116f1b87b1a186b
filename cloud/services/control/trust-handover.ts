/** Whose images may run, for the service host: the versions of trust documents that it does not have, as they were signed. */
import type { Envelope } from '#shared/protocol/envelope.js';
import type { TrustChain } from '#cloud/trust/trust-chain.js';

/** By workspace: the version that is known. */
export type TrustVersions = Readonly<Record<string, number>>;

export interface HandedTrust {
  readonly schema: 1;
  readonly workspaces: { readonly workspace: string; readonly envelopes: Envelope[] }[];
}

/** Of one workspace at a time; what is left follows at the next. */
const maxEnvelopes = 256;

export class TrustHandover {
  constructor(private readonly chain: TrustChain) {}

  /** @param workspaces those that have endpoints */
  async after(known: TrustVersions, workspaces: readonly string[]): Promise<HandedTrust> {
    const news: { workspace: string; envelopes: Envelope[] }[] = [];
    for (const workspace of workspaces) {
      const version = Object.hasOwn(known, workspace) ? (known[workspace] ?? 0) : 0;
      const versions = await this.chain.after(workspace, version, maxEnvelopes);
      if (versions.length > 0) news.push({ workspace, envelopes: versions.map(({ envelope }) => envelope) });
    }
    return { schema: 1, workspaces: news };
  }
}
