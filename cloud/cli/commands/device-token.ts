/**
 * `flotilla device token`: the server's half of an enrolment token and this machine's publisher key.
 * The server cannot slip a publisher in: devices trust the keys that stand here.
 */
import { Command } from 'commander';
import { AppError } from '#shared/kernel/errors.js';
import { enrolmentTokenSchema, formatEnrolmentToken } from '#shared/protocol/enrolment.js';
import { describeIssues } from '#shared/protocol/decode.js';
import { routes } from '#cloud/client/routes.js';
import { collect, parseDurationSeconds, parseTags } from '../argument-parsers.js';
import type { CliIo } from '../cli-io.js';
import { withExamples } from '../help.js';
import { KeyFolder } from '../keys/key-folder.js';
import { resolvePublisher } from '../keys/publisher-argument.js';
import { signingKeys } from '../keys/signing-keys.js';
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
    .option('--publisher <key>', 'another publisher whom the device trusts, by name or key; several times', collect, [])
    .action(async (options: TokenOptions) => {
      const body = { ttlSeconds: parseDurationSeconds(options.ttl), tags: parseTags(options.tag) };
      const folder = new KeyFolder(io.config.home);
      const others = await Promise.all(options.publisher.map((text) => resolvePublisher(folder, text, '--publisher')));
      await withSession(io, command, async ({ client, out }) => {
        const own = await signingKeys(io, (text) => out.note(text));
        const { expiresAt, ...server } = await client.call(routes.enrolmentTokenCreate, { body });
        const publishers = [...new Set([...own.map(({ publicKey }) => publicKey), ...others])];
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
