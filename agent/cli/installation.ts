/** `flotilla-agent install` and `uninstall`: the agent as a service of this machine, from an unpacked archive. */
import { existsSync } from 'node:fs';
import type { Command } from 'commander';
import {
  installService,
  type InstallationReport,
  removeService,
  reportLines,
} from '#shared/platform/installation/service-installation.js';
import { settingsPath, unitName } from '#shared/platform/installation/product.js';
import { example, type GlobalOptions, print } from '#agent/cli/command-parts.js';
import { agentProduct } from '#agent/installation/agent-product.js';

export function addInstallation(program: Command): Command[] {
  return [addInstall(program), addUninstall(program)];
}

interface Options {
  readonly root: string;
  readonly print: boolean;
}

function addInstall(program: Command): Command {
  const command = program
    .command('install')
    .description(
      'Makes the agent a service of systemd: programs to /opt, settings to /etc/flotilla-agent, state in /var/lib/flotilla-agent. Again, from a newer archive, it upgrades; settings and state stay.',
    )
    .option('--root <folder>', 'into the image in this folder instead of this machine', '/')
    .option('--print', 'show what would be done, and do nothing', false)
    .action(async (options: Options) => {
      const report = await installService(agentProduct, import.meta.url, options);
      print(program.opts<GlobalOptions>(), report, () => [...reportLines(report), ...nextLines(report)]);
    });
  return example(command, 'flotilla-agent install --print');
}

function addUninstall(program: Command): Command {
  const command = program
    .command('uninstall')
    .description('Stops the service and removes the programs. Settings and state stay, unless --purge.')
    .option('--root <folder>', 'from the image in this folder instead of this machine', '/')
    .option('--print', 'show what would be done, and do nothing', false)
    .option('--purge', 'remove settings, state and with it the identity of this device too', false)
    .action(async (options: Options & { readonly purge: boolean }) => {
      const report = await removeService(agentProduct, options);
      print(program.opts<GlobalOptions>(), report, () => [
        ...reportLines(report),
        ...(options.purge || options.print
          ? []
          : [`Left: ${agentProduct.stateFolder}, ${agentProduct.settings.folder} (--purge removes them).`]),
      ]);
    });
  return example(command, 'flotilla-agent uninstall');
}

/** What starts the agent on this machine: its service, where it is one and keeps its state where that one does. */
export function startCommand({ stateDir }: GlobalOptions): string {
  if (stateDir !== undefined) return `flotilla-agent run --state-dir ${stateDir}`;
  const folders = ['/etc/systemd/system', '/usr/lib/systemd/system', '/lib/systemd/system'];
  const isService = folders.some((folder) => existsSync(`${folder}/${unitName(agentProduct)}`));
  return isService ? `systemctl start ${agentProduct.name}` : 'flotilla-agent run';
}

function nextLines({ printed, root }: InstallationReport): string[] {
  if (printed) return [];
  if (root !== '/') return [`Installed into ${root}; it starts with the image once its machine is enrolled.`];
  return [
    `Settings: ${settingsPath(agentProduct)}`,
    'Next, where this machine is not enrolled: flotilla-agent enroll --token … --name …, then systemctl start flotilla-agent',
  ];
}
