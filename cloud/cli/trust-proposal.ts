/** Pure: the next version of a trust document, what changes by it, and who must sign it. */
import { AppError } from '#shared/kernel/errors.js';
import { keyIdOf } from '#shared/package/signing-key.js';
import { checkMessage } from '#shared/protocol/decode.js';
import { type TrustDocument, trustDocumentSchema } from '#shared/protocol/trust.js';

export interface ProposalInput {
  readonly workspace: string;
  /** The newest version; none yet: devices go by what their tokens pinned. */
  readonly newest: TrustDocument | undefined;
  /** Own public keys that sign, and those to add. */
  readonly publishers: readonly string[];
  readonly withdraw: readonly string[];
  readonly threshold: number | undefined;
  /** What the control plane says that it uses now, and next. */
  readonly directors: readonly string[];
  readonly authorities: readonly string[];
  readonly issuedAt: string;
}

/** @throws AppError `trust.invalid` for one that no device would take */
export function proposeTrust(input: ProposalInput): TrustDocument {
  const { newest, withdraw } = input;
  const publishers = unique([...(newest?.publishers ?? []), ...input.publishers]).filter(
    (key) => !withdraw.includes(key),
  );
  const document = {
    schema: 1,
    workspace: input.workspace,
    version: (newest?.version ?? 0) + 1,
    publishers,
    threshold: input.threshold ?? Math.min(newest?.threshold ?? 1, Math.max(1, publishers.length)),
    directors: unique(input.directors),
    authorities: unique(input.authorities),
    withdrawn: unique([...(newest?.withdrawn ?? []), ...withdraw]),
    issuedAt: input.issuedAt,
  };
  const checked = checkMessage(trustDocumentSchema, document);
  if (checked.ok) return checked.value;
  throw new AppError('trust.invalid', `no such trust document can be: ${checked.error.message}`);
}

export interface TrustChange {
  readonly kind: 'publisher' | 'director' | 'authority' | 'threshold';
  readonly sign: '+' | '-' | '=';
  readonly what: string;
}

/** Every line of it is something that a publisher answers for by signing. */
export function changesOf(before: TrustDocument | undefined, after: TrustDocument): TrustChange[] {
  const lists = [
    ['publisher', before?.publishers ?? [], after.publishers, shortKey],
    ['director', before?.directors ?? [], after.directors, shortKey],
    ['authority', before?.authorities ?? [], after.authorities, shortCertificate],
  ] as const;
  const changes = lists.flatMap(([kind, old, now, show]): TrustChange[] => [
    ...now.filter((item) => !old.includes(item)).map((item) => ({ kind, sign: '+' as const, what: show(item) })),
    ...old.filter((item) => !now.includes(item)).map((item) => ({ kind, sign: '-' as const, what: show(item) })),
  ]);
  const threshold = after.threshold === (before?.threshold ?? 1) ? [] : [after.threshold];
  return [
    ...changes,
    ...threshold.map((count) => ({ kind: 'threshold' as const, sign: '=' as const, what: String(count) })),
  ];
}

export function changeLine({ kind, sign, what }: TrustChange): string {
  return `${sign} ${kind} ${what}`;
}

/** How many more must sign: of the version before, and of its own. */
export function missingSignatures(
  before: Pick<TrustDocument, 'publishers' | 'threshold'> | undefined,
  after: TrustDocument,
  signedBy: readonly string[],
): { readonly ofBefore: number; readonly ofOwn: number } {
  const count = (keys: readonly string[]): number => keys.filter((key) => signedBy.includes(keyIdOf(key))).length;
  return {
    // Whom tokens pinned is known to the devices alone; one signature there is always needed.
    ofBefore: Math.max(0, (before?.threshold ?? 1) - (before ? count(before.publishers) : signedBy.length)),
    ofOwn: Math.max(0, after.threshold - count(after.publishers)),
  };
}

export function shortKey(publicKey: string): string {
  return `${publicKey} (id ${keyIdOf(publicKey).slice(0, 16)})`;
}

function shortCertificate(pem: string): string {
  return `certificate …${pem.replaceAll(/-----[A-Z ]+-----|\s/g, '').slice(-24)}`;
}

function unique(items: readonly string[]): string[] {
  return [...new Set(items)];
}
