/** The control plane as a service of systemd: names, places, settings to begin with, and its unit. */
import type { Product } from '#shared/platform/installation/product.js';
import { unitText } from '#shared/platform/installation/unit-text.js';
import { account, stateFolder } from './cloud-places.js';
import { closed } from './closed-service.js';
import { servicesPath, servicesUnits } from './services-units.js';

const settings = `# Settings of the control plane. All there are: docs/settings.md, or flotilla cloud --help.
dataDir: ${stateFolder}
# The first start writes the owner token here, for root and ${account} alone: log in with it, then remove the file.
ownerTokenFile: ${stateFolder}/owner-token
# For devices and people on other machines:
# http: { host: 0.0.0.0 }
# gateway: { host: 0.0.0.0 }
# broker: { host: 0.0.0.0 }
`;

export const cloudProduct: Product = {
  name: 'flotilla',
  group: account,
  user: account,
  stateFolder,
  settings: { folder: '/etc/flotilla', file: 'cloud.yaml', text: settings },
  unit: cloudUnit,
  companions: servicesUnits,
};

/** @param command path of the installed program */
export function cloudUnit(command: string): string {
  return unitText('The Flotilla control plane. Your own changes: systemctl edit flotilla.', {
    Unit: {
      Description: 'Flotilla control plane',
      After: 'network-online.target',
      Wants: ['network-online.target', servicesPath],
      StartLimitIntervalSec: '0',
    },
    Service: {
      Type: 'exec',
      ExecStart: `${command} cloud --config /etc/flotilla/cloud.yaml`,
      Restart: 'always',
      RestartSec: '5',
      KillMode: 'mixed',
      TimeoutStopSec: '60',
      User: account,
      Group: account,
      UMask: '0077',
      StateDirectory: 'flotilla',
      StateDirectoryMode: '0700',
      WorkingDirectory: stateFolder,
      // Web services have a unit of their own, which this one's end does not touch.
      Environment: 'FLOTILLA_SERVICES_STARTED_BY=systemd',
      ...closed,
      PrivateDevices: 'yes',
      ProtectControlGroups: 'yes',
      RestrictNamespaces: 'yes',
      SystemCallFilter: '@system-service',
    },
    Install: { WantedBy: 'multi-user.target' },
  });
}
