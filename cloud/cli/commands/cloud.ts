/** `flotilla cloud`: the control plane daemon, in the foreground. */
import { Command } from 'commander';
import { cloudSettings } from '#cloud/config.js';
import type { CliIo, CloudReady } from '../cli-io.js';
import { withExamples } from '../help.js';
import { formatFields } from '../output.js';
import { outputOf } from '../session.js';

export function cloudCommand(io: CliIo): Command {
  const command = new Command('cloud')
    .description('Run the control plane in the foreground; the first start prints the owner token, once.')
    .option('--config <file>', 'YAML file of settings; flags and FLOTILLA_* variables go before it')
    .option('--print-config', 'print the configuration that the flags, environment and file make, and end');
  const flags = new Map<string, string>();
  for (const setting of cloudSettings()) {
    command.option(`--${setting.flag} <value>`, `${setting.description} (${setting.variable})`, (value: string) => {
      flags.set(setting.flag, value);
      return value;
    });
  }
  command.action(async (options: { readonly config?: string; readonly printConfig?: boolean }) => {
    if (options.config !== undefined) flags.set('config', options.config);
    const args = [...flags].map(([flag, value]) => `--${flag}=${value}`);
    if (options.printConfig) io.stdout.write(await io.printCloudConfig(args));
    else await io.runCloud(args, (ready) => outputOf(io, command).item(ready, () => describeReady(ready)));
  });
  return withExamples(command, 'flotilla cloud', 'flotilla cloud --data-dir /var/lib/flotilla --http-port 9000');
}

function describeReady({ version, addresses, ownerToken }: CloudReady): string {
  const fields = formatFields([['version', version], ...Object.entries(addresses)]);
  if (ownerToken === undefined) return `the control plane is up\n${fields}`;
  return [
    `the control plane is up\n${fields}`,
    'Owner token, shown this once and stored nowhere:',
    `  ${ownerToken}`,
    'To go on:',
    `  flotilla login ${addresses.http} --token ${ownerToken}`,
  ].join('\n');
}
