/**
 * `flotilla device token`: the server's half of an enrolment token and this machine's publisher key.
 * The server cannot slip a publisher in: devices trust the keys that stand here.
 */
import { Command } from 'commander';
import { AppError } from '#shared/kernel/errors.js';
import { enrolmentTokenSchema, formatEnrolmentToken, publicKeySchema } from '#shared/protocol/enrolment.js';
import { describeIssues } from '#shared/protocol/decode.js';
import { routes } from '#cloud/client/routes.js';
import { collect, parseDurationSeconds, parseTags } from '../argument-parsers.js';
import type { CliIo } from '../cli-io.js';
import { withExamples } from '../help.js';
import { needPublisherKey } from '../publisher-key.js';
import { withSession } from '../session.js';

interface TokenOptions {
  readonly ttl: string;
  readonly tag: readonly string[];
  readonly publisher: readonly string[];
}

export function deviceTokenCommand(io: CliIo): Command {
  const command = new Command('token')
    .description('Make a one-time token that lets one device in, and that says whom the device trusts.')
    .option('--ttl <duration>', 'how long it can be used', '1h')
    .option('--tag <k=v>', 'a tag that the device gets; several times', collect, [])
    .option('--publisher <key>', "another publisher's public key that the device trusts; several times", collect, [])
    .action(async (options: TokenOptions) => {
      const body = { ttlSeconds: parseDurationSeconds(options.ttl), tags: parseTags(options.tag) };
      const others = options.publisher.map(parsePublicKey);
      await withSession(io, command, async ({ client, out }) => {
        const key = await needPublisherKey(io.config.home, (text) => out.note(text));
        const { expiresAt, ...server } = await client.call(routes.enrolmentTokenCreate, { body });
        const publishers = [...new Set([key.publicKey, ...others])];
        const composed = enrolmentTokenSchema.safeParse({ ...server, publishers });
        if (!composed.success) {
          throw new AppError('server.incompatible', `no token can be made of this: ${describeIssues(composed.error)}`);
        }
        const token = formatEnrolmentToken(composed.data);
        const enrol = `flotilla-agent enroll --token ${token} --name <name>`;
        out.result({ token, expiresAt, url: server.url, publishers, command: enrol }, () =>
          [`Enrolment token for one device, until ${expiresAt}:`, token, '', 'On the device:', `  ${enrol}`].join('\n'),
        );
      });
    });
  return withExamples(
    command,
    'flotilla device token',
    'flotilla device token --ttl 1d --tag site=lab',
    'flotilla device token --output json | jq -r .token',
  );
}

function parsePublicKey(text: string): string {
  if (publicKeySchema.safeParse(text).success) return text;
  throw new AppError(
    'request.invalid',
    '--publisher takes a public key of 43 characters, as "flotilla keys show" prints it on the other machine',
  );
}
