/**
 * The server's half of an enrolment token and this machine's publisher key, in one text for the device. The server
 * cannot slip a publisher in: devices trust the keys that stand here.
 */
import { AppError } from '#shared/kernel/errors.js';
import { describeIssues } from '#shared/protocol/decode.js';
import { enrolmentTokenSchema, formatEnrolmentToken, publicKeySchema } from '#shared/protocol/enrolment.js';
import { needPublisherKey } from './publisher-key.js';

export const publisherOption = [
  '--publisher <key>',
  "another publisher's public key that the device trusts; several times",
] as const;

export interface ComposedToken {
  readonly token: string;
  readonly publishers: readonly string[];
}

/**
 * @param server what the server answered, without `expiresAt`
 * @param others public keys of further publishers
 */
export async function composeToken(
  home: string,
  server: Readonly<Record<string, unknown>>,
  others: readonly string[],
  note: (text: string) => void,
): Promise<ComposedToken> {
  const key = await needPublisherKey(home, note);
  const publishers = [...new Set([key.publicKey, ...others.map(parsePublicKey)])];
  const composed = enrolmentTokenSchema.safeParse({ ...server, publishers });
  if (composed.success) return { token: formatEnrolmentToken(composed.data), publishers };
  throw new AppError('server.incompatible', `no token can be made of this: ${describeIssues(composed.error)}`);
}

/** @throws AppError `request.invalid` */
export function parsePublicKey(text: string): string {
  if (publicKeySchema.safeParse(text).success) return text;
  throw new AppError(
    'request.invalid',
    '--publisher takes a public key of 43 characters, as "flotilla keys show" prints it on the other machine',
  );
}
