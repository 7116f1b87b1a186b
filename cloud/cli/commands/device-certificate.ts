/** `flotilla device certificate` and `flotilla device revoke`. */
import { Command } from 'commander';
import { routes } from '#cloud/client/routes.js';
import { parseName } from '../argument-parsers.js';
import type { CliIo } from '../cli-io.js';
import { withExamples } from '../help.js';
import { formatList } from '../output.js';
import { withSession } from '../session.js';

export function deviceCertificateCommand(io: CliIo): Command {
  const command = new Command('certificate')
    .description('Show the certificates of a device: serial number, how long they hold, and whether they count.')
    .argument('<device>')
    .option('--pem', 'the newest one that counts, as PEM')
    .action(async (text: string, options: { readonly pem?: boolean }) => {
      const device = parseName(text, 'device');
      await withSession(io, command, async ({ client, out }) => {
        const body = await client.call(routes.deviceCertificates, { params: { device } });
        const newest = body.certificates.find(({ state }) => state === 'accepted');
        if (options.pem) {
          out.result(newest ?? null, () => newest?.certificate.trimEnd() ?? 'no certificate counts');
          return;
        }
        out.result(body, () =>
          formatList(
            body.certificates,
            ['SERIAL', 'STATE', 'ISSUED', 'ENDS', 'REVOKED', 'REASON'],
            ({ serial, state, issuedAt, notAfter, revokedAt, reason }) => [
              serial,
              state,
              issuedAt,
              notAfter,
              revokedAt ?? '-',
              reason ?? '-',
            ],
            'no certificates',
          ),
        );
      });
    });
  return withExamples(
    command,
    'flotilla device certificate cam-1',
    'flotilla device certificate cam-1 --pem | openssl x509 -noout -text',
  );
}

export function deviceRevokeCommand(io: CliIo): Command {
  const command = new Command('revoke')
    .description('Revoke the certificates of a device, as when it was stolen: its live sessions end within seconds.')
    .argument('<device>')
    .requiredOption('--reason <text>', 'why; it is shown, and stands in the audit log')
    .option('--serial <number>', 'only this certificate')
    .action(async (text: string, options: { readonly reason: string; readonly serial?: string }) => {
      const device = parseName(text, 'device');
      const { reason, serial } = options;
      await withSession(io, command, async ({ client, out }) => {
        const body = { reason, ...(serial === undefined ? {} : { serial }) };
        const answer = await client.call(routes.deviceCertificatesRevoke, { params: { device }, body });
        out.result(answer, () =>
          answer.revoked === 0
            ? `nothing to revoke: no certificate of ${device} counted`
            : `revoked ${String(answer.revoked)} certificate(s) of ${device}; flotilla device replace ${device} lets it, or another machine, come back`,
        );
      });
    });
  return withExamples(
    command,
    'flotilla device revoke cam-1 --reason stolen',
    'flotilla device revoke cam-1 --serial 5f0c… --reason "copied disk"',
  );
}
