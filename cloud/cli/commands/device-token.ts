/** `flotilla device token` and `flotilla device replace`: what one machine enrols with, once. */
import { Command } from 'commander';
import { routes } from '#cloud/client/routes.js';
import { collect, parseDurationSeconds, parseName, parseTags } from '../argument-parsers.js';
import type { CliIo } from '../cli-io.js';
import { composeToken, publisherOption, resolvePublishers } from '../composed-token.js';
import { withExamples } from '../help.js';
import { withSession } from '../session.js';

interface TokenOptions {
  readonly ttl: string;
  readonly name?: string;
  readonly tag: readonly string[];
  readonly allowTag: readonly string[];
  readonly publisher: readonly string[];
}

export function deviceTokenCommand(io: CliIo): Command {
  const command = new Command('token')
    .description('Make a one-time token that lets one device in, and that says whom the device trusts.')
    .option('--ttl <duration>', 'how long it can be used', '1h')
    .option('--name <device>', 'the only name that may enrol with it')
    .option('--tag <k=v>', 'a tag that the device gets; several times', collect, [])
    .option('--allow-tag <name>', 'a tag that the device may set itself, "*" for any; several times', collect, [])
    .option(...publisherOption, collect, [])
    .action(async (options: TokenOptions) => {
      const body = {
        ttlSeconds: parseDurationSeconds(options.ttl),
        tags: parseTags(options.tag),
        allowTags: [...options.allowTag],
        ...(options.name === undefined ? {} : { device: parseName(options.name, 'device') }),
      };
      const others = await resolvePublishers(io, options.publisher);
      await withSession(io, command, async ({ client, out }) => {
        const { expiresAt, ...server } = await client.call(routes.enrolmentTokenCreate, { body });
        const { token, publishers } = await composeToken(io, server, others, (text) => out.note(text));
        const enrol = `flotilla-agent enroll --token ${token} --name ${options.name ?? '<name>'}`;
        out.result({ token, expiresAt, url: server.url, publishers, command: enrol }, () =>
          [`Enrolment token for one device, until ${expiresAt}:`, token, '', 'On the device:', `  ${enrol}`].join('\n'),
        );
      });
    });
  return withExamples(
    command,
    'flotilla device token',
    'flotilla device token --ttl 1d --name cam-1 --tag site=lab',
    'flotilla device token --output json | jq -r .token',
  );
}

export function deviceReplaceCommand(io: CliIo): Command {
  const command = new Command('replace')
    .description(
      'Make a one-time token with which other hardware takes over the name, the tags and the desired state of a device, also of a retired one. The old certificate is revoked when the new one is issued.',
    )
    .argument('<device>')
    .option('--ttl <duration>', 'how long it can be used', '1h')
    .option(...publisherOption, collect, [])
    .action(async (text: string, options: Pick<TokenOptions, 'ttl' | 'publisher'>) => {
      const device = parseName(text, 'device');
      const body = { ttlSeconds: parseDurationSeconds(options.ttl) };
      const others = await resolvePublishers(io, options.publisher);
      await withSession(io, command, async ({ client, out }) => {
        const { expiresAt, ...server } = await client.call(routes.deviceReplace, { params: { device }, body });
        const { token, publishers } = await composeToken(io, server, others, (note) => out.note(note));
        const enrol = `flotilla-agent enroll --token ${token} --name ${device}`;
        out.result({ token, expiresAt, url: server.url, publishers, command: enrol }, () =>
          [
            `Token with which one machine becomes ${device}, until ${expiresAt}:`,
            token,
            '',
            `On the new machine (the same machine adds --replace):`,
            `  ${enrol}`,
          ].join('\n'),
        );
      });
    });
  return withExamples(command, 'flotilla device replace cam-1', 'flotilla device replace cam-1 --ttl 1d');
}
