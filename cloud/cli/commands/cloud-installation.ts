/** `flotilla cloud install` and `uninstall`: the control plane as a service of this machine, from an unpacked archive. */
import { Command } from 'commander';
import {
  installService,
  type InstallationReport,
  removeService,
  reportLines,
} from '#shared/platform/installation/service-installation.js';
import { settingsPath } from '#shared/platform/installation/product.js';
import { cloudProduct } from '#cloud/installation/cloud-product.js';
import type { CliIo } from '../cli-io.js';
import { withExamples } from '../help.js';
import { outputOf } from '../session.js';

interface Options {
  readonly root: string;
  readonly print: boolean;
}

export function cloudInstallCommand(io: CliIo): Command {
  const command = new Command('install')
    .description(
      'Make the control plane a service of systemd: programs to /opt, settings to /etc/flotilla, data in /var/lib/flotilla. Again, from a newer archive, it upgrades; settings and data stay.',
    )
    .option('--root <folder>', 'into the image in this folder instead of this machine', '/')
    .option('--print', 'show what would be done, and do nothing', false);
  command.action(async (options: Options) => {
    const report = await installService(cloudProduct, import.meta.url, options);
    outputOf(io, command).item(report, () => [...reportLines(report), ...nextLines(report)].join('\n'));
  });
  return withExamples(command, 'flotilla cloud install --print');
}

export function cloudUninstallCommand(io: CliIo): Command {
  const command = new Command('uninstall')
    .description('Stop the service and remove the programs. Settings and data stay, unless --purge.')
    .option('--root <folder>', 'from the image in this folder instead of this machine', '/')
    .option('--print', 'show what would be done, and do nothing', false)
    .option('--purge', 'remove settings and all data with its keys too', false);
  command.action(async (options: Options & { readonly purge: boolean }) => {
    const report = await removeService(cloudProduct, options);
    const left = `Left: ${cloudProduct.stateFolder}, ${cloudProduct.settings.folder} (--purge removes them).`;
    const last = options.purge || options.print ? [] : [left];
    outputOf(io, command).item(report, () => [...reportLines(report), ...last].join('\n'));
  });
  return withExamples(command, 'flotilla cloud uninstall');
}

function nextLines({ printed, root }: InstallationReport): string[] {
  if (printed) return [];
  if (root !== '/') return [`Installed into ${root}; it starts with the image.`];
  return [
    `Settings: ${settingsPath(cloudProduct)}`,
    `Next: journalctl -u flotilla shows its addresses; the owner token is in ${cloudProduct.stateFolder}/owner-token`,
  ];
}
