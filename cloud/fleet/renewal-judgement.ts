/** May the holder of this certificate have another? Purely, from what the database knows and what was shown. */
import type { ErrorCode } from '#shared/kernel/errors.js';

export interface ShownCertificate {
  readonly device: string;
  readonly notAfterMs: number;
  /** What the database says of it; undefined: it does not know it, as after a restored backup. */
  readonly known: { readonly revokedAt: string | null; readonly reason: string | null } | undefined;
  /** Did the present authority sign it? */
  readonly issued: boolean;
}

export type RenewalJudgement =
  | { readonly kind: 'renew'; readonly expired: boolean }
  | { readonly kind: 'refuse'; readonly code: ErrorCode; readonly message: string };

export function judgeRenewal(
  { device, notAfterMs, known, issued }: ShownCertificate,
  state: { readonly enrolled: boolean; readonly retiredAt: string | null },
  { nowMs, graceMs }: { readonly nowMs: number; readonly graceMs: number },
): RenewalJudgement {
  const refuse = (code: ErrorCode, message: string): RenewalJudgement => ({ kind: 'refuse', code, message });
  const next = `make a token with flotilla device replace ${device}, and enrol again with flotilla-agent enroll`;
  if (known === undefined && !issued)
    return refuse('certificate.invalid', 'this control plane did not issue this certificate');
  if (!state.enrolled) return refuse('device.not-found', `this control plane knows no device ${device}: enrol again`);
  if (state.retiredAt !== null) return refuse('device.retired', `${device} was retired at ${state.retiredAt}: ${next}`);
  if (known !== undefined && known.revokedAt !== null) {
    return refuse(
      'certificate.revoked',
      `this certificate of ${device} was revoked at ${known.revokedAt}${known.reason === null ? '' : ` (${known.reason})`}: ${next}`,
    );
  }
  if (nowMs > notAfterMs + graceMs) {
    return refuse('certificate.expired', `this certificate of ${device} ended too long ago to be renewed: ${next}`);
  }
  return { kind: 'renew', expired: nowMs > notAfterMs };
}
