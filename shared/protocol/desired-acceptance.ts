/**
 * The rules on generation (design section 4), as one decision. The signature has been checked over
 * the raw payload before this is asked.
 */
import type { ErrorCode } from '#shared/kernel/errors.js';
import { canonicalJson } from './canonical-json.js';
import type { Desired } from './desired.js';
import type { DeviceAddress } from './topics.js';

export type Acceptance =
  | { readonly kind: 'accept' }
  /** The same document with a later issue time: keep the generation, take the expiry. */
  | { readonly kind: 'renew' }
  /** Nothing new. */
  | { readonly kind: 'ignore' }
  | { readonly kind: 'refuse'; readonly code: ErrorCode; readonly message: string };

export function judgeDesired(offered: Desired, current: Desired | undefined, self: DeviceAddress): Acceptance {
  if (offered.workspace !== self.workspace || offered.device !== self.device) {
    return {
      kind: 'refuse',
      code: 'desired.wrong-device',
      message: `the document is for ${offered.workspace}/${offered.device}, this device is ${self.workspace}/${self.device}`,
    };
  }
  if (current === undefined || offered.generation > current.generation) return { kind: 'accept' };
  if (offered.generation < current.generation) {
    return {
      kind: 'refuse',
      code: 'desired.older-generation',
      message: `generation ${String(offered.generation)} is older than the accepted ${String(current.generation)}`,
    };
  }
  if (contentOf(offered) !== contentOf(current)) {
    return {
      kind: 'refuse',
      code: 'desired.same-generation',
      message: `generation ${String(offered.generation)} was accepted before with other content`,
    };
  }
  return Date.parse(offered.issuedAt) > Date.parse(current.issuedAt) ? { kind: 'renew' } : { kind: 'ignore' };
}

/** All of a document but when it was issued and until when it counts. */
function contentOf({ issuedAt: _issued, expiresAt: _expires, ...content }: Desired): string {
  return canonicalJson(content);
}
