/**
 * The server's half of an enrolment token and this machine's publisher keys, in one text for the device. The server
 * cannot slip a publisher in: devices trust the keys that stand here.
 */
import { AppError } from '#shared/kernel/errors.js';
import { describeIssues } from '#shared/protocol/decode.js';
import { enrolmentTokenSchema, formatEnrolmentToken } from '#shared/protocol/enrolment.js';
import type { CliIo } from './cli-io.js';
import { KeyFolder } from './keys/key-folder.js';
import { resolvePublisher } from './keys/publisher-argument.js';
import { signingKeys } from './keys/signing-keys.js';

export const publisherOption = [
  '--publisher <key>',
  'another publisher whom the device trusts, by name or key; several times',
] as const;

export interface ComposedToken {
  readonly token: string;
  readonly publishers: readonly string[];
}

/** Before anything is asked of the server. @throws AppError `request.invalid` */
export async function resolvePublishers(io: CliIo, texts: readonly string[]): Promise<string[]> {
  const folder = new KeyFolder(io.config.home);
  return Promise.all(texts.map((text) => resolvePublisher(folder, text, '--publisher')));
}

/**
 * @param server what the server answered, without `expiresAt`
 * @param others public keys of further publishers
 */
export async function composeToken(
  io: CliIo,
  server: Readonly<Record<string, unknown>>,
  others: readonly string[],
  note: (text: string) => void,
): Promise<ComposedToken> {
  const own = await signingKeys(io, note);
  const publishers = [...new Set([...own.map(({ publicKey }) => publicKey), ...others])];
  const composed = enrolmentTokenSchema.safeParse({ ...server, publishers });
  if (composed.success) return { token: formatEnrolmentToken(composed.data), publishers };
  throw new AppError('server.incompatible', `no token can be made of this: ${describeIssues(composed.error)}`);
}
