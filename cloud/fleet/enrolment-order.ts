/** What a device that comes says of itself, and what became of it. */
import { createHash } from 'node:crypto';
import type { Tags } from '#shared/protocol/primitives.js';
import type { Capabilities } from '#shared/protocol/reported.js';

export interface EnrolmentOrder {
  readonly workspace: string;
  readonly secret: string;
  /** Absent: the fleet claim names it. */
  readonly device?: string | undefined;
  /** PKCS #10, PEM. */
  readonly csr: string;
  /** A raw X25519 public key, base64url. */
  readonly sealingKey: string;
  /** What the machine calls itself; nothing proves it. */
  readonly hardwareId?: string | undefined;
  readonly tags: Tags;
  readonly capabilities: Capabilities;
}

/** What a token or a claim grants to one device. */
export interface Admission {
  readonly kind: 'admitted';
  readonly device: string;
  readonly tags: Tags;
  /** The same key was admitted before: its first answer may have got lost. */
  readonly again: boolean;
  /** It takes the name over from the device that has, or had, it. */
  readonly replaces: boolean;
  /** For the audit log. */
  readonly by: string;
}

export interface Pending {
  readonly kind: 'pending';
  readonly request: string;
}

/** A secret has 256 random bits: a plain digest is all it needs. */
export function hashOfSecret(secret: string): string {
  return createHash('sha256').update(secret).digest('hex');
}
