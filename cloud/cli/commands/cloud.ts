/** `flotilla cloud`: the control plane daemon, in the foreground. */
import { Command } from 'commander';
import { type CloudConfig, cloudSettings, loadConfig } from '#cloud/config.js';
import type { CliIo, CloudReady } from '../cli-io.js';
import { withExamples } from '../help.js';
import { formatFields } from '../output.js';
import { outputOf } from '../session.js';
import { cloudInstallCommand, cloudUninstallCommand } from './cloud-installation.js';

export function cloudCommand(io: CliIo): Command {
  const command = new Command('cloud')
    .description('Run the control plane in the foreground; the first start prints the owner token, once.')
    .option('--config <file>', 'YAML file of settings (FLOTILLA_CONFIG); flags and variables win over it')
    .option('--print-config', 'print the configuration that the flags, environment and file make, and end');
  const flags = new Map<string, string>();
  const defaults = loadConfig({ flags: {}, environment: {} });
  for (const setting of cloudSettings()) {
    const { flag, description, variable, path } = setting;
    const facts = [variable, ...defaultText(defaults, path)].join(', ');
    command.option(`--${flag} <value>`, `${description} (${facts})`, (value: string) => {
      flags.set(flag, value);
      return value;
    });
  }
  command.action(async (options: { readonly config?: string; readonly printConfig?: boolean }) => {
    if (options.config !== undefined) flags.set('config', options.config);
    const args = [...flags].map(([flag, value]) => `--${flag}=${value}`);
    if (options.printConfig) io.stdout.write(await io.printCloudConfig(args));
    else await io.runCloud(args, (ready) => outputOf(io, command).item(ready, () => describeReady(ready)));
  });
  command.addCommand(cloudInstallCommand(io)).addCommand(cloudUninstallCommand(io));
  return withExamples(command, 'flotilla cloud', 'flotilla cloud --data-dir /var/lib/flotilla --http-port 9000');
}

/** What holds where nothing is said, if there is something. */
function defaultText(defaults: CloudConfig, path: string): string[] {
  const value = path.split('.').reduce<unknown>((at, key) => (Object(at) as Record<string, unknown>)[key], defaults);
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
    ? [`default: ${String(value)}`]
    : [];
}

function describeReady({ version, addresses, authority, ownerToken, ownerTokenFile }: CloudReady): string {
  const fields = formatFields([['version', version], ...Object.entries(addresses), ['authority', authority]]);
  const pin = addresses.http.startsWith('https:') ? ` --authority ${authority}` : '';
  if (ownerTokenFile !== undefined) {
    return [
      `the control plane is up\n${fields}`,
      `The owner token is in ${ownerTokenFile}, and nowhere else. To go on, then remove the file:`,
      `  flotilla login ${addresses.http}${pin} --token - < ${ownerTokenFile}`,
    ].join('\n');
  }
  if (ownerToken === undefined) return `the control plane is up\n${fields}`;
  return [
    `the control plane is up\n${fields}`,
    'Owner token, shown this once and stored nowhere:',
    `  ${ownerToken}`,
    'To go on:',
    `  flotilla login ${addresses.http}${pin} --token ${ownerToken}`,
  ].join('\n');
}
