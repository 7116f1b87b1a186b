/**
 * The service host as a service of systemd of its own: the control plane asks for it by writing its configuration,
 * for which a path unit waits, and needs no right to start anything. So it goes on when the control plane's unit is
 * restarted, stopped or killed, and comes back with the machine where there were endpoints.
 */
import type { CompanionUnit } from '#shared/platform/installation/product.js';
import { unitText } from '#shared/platform/installation/unit-text.js';
import { configFileOf } from '#cloud/services/host/host-config.js';
import { account, stateFolder } from './cloud-places.js';
import { closed } from './closed-service.js';

const servicesService = 'flotilla-services.service';
export const servicesPath = 'flotilla-services.path';
/** Of the archive. */
export const serviceHostCommand = 'bin/flotilla-service-host';

const folder = `${stateFolder}/services`;
const config = configFileOf({ folder });

/** @param programs the folder of the installed release */
export function servicesUnits(programs: string): readonly CompanionUnit[] {
  return [
    { name: servicesPath, text: pathUnit(), startsWithMachine: true },
    { name: servicesService, text: serviceUnit(`${programs}/${serviceHostCommand}`), startsWithMachine: false },
  ];
}

function pathUnit(): string {
  return unitText('Starts the web services of Flotilla while its control plane wants them.', {
    Unit: { Description: 'Web services of Flotilla are wanted' },
    Path: { PathExists: config, Unit: servicesService },
    Install: { WantedBy: 'multi-user.target' },
  });
}

function serviceUnit(command: string): string {
  return unitText('The web services of Flotilla. Your own changes: systemctl edit flotilla-services.', {
    Unit: {
      Description: 'Web services of Flotilla',
      After: 'network-online.target',
      Wants: 'network-online.target',
      ConditionPathExists: config,
      StartLimitIntervalSec: '0',
    },
    Service: {
      Type: 'exec',
      ExecStart: `${command} --config ${config}`,
      // One that was told to end is started again by the path unit, if it is still wanted.
      Restart: 'on-failure',
      RestartSec: '1',
      KillMode: 'mixed',
      // Longer than what is under way may take, twice: at the front, then in the replicas.
      TimeoutStopSec: '90',
      User: account,
      Group: account,
      UMask: '0077',
      WorkingDirectory: folder,
      // Of what the control plane knows it sees images and its own certificate; not the key that seals the others.
      TemporaryFileSystem: `${stateFolder}:ro`,
      BindPaths: folder,
      BindReadOnlyPaths: [`${stateFolder}/blobs`, `${stateFolder}/keys`],
      InaccessiblePaths: `-${stateFolder}/keys/at-rest.key`,
      // Control groups for user code; a replica that is ended for its memory must not take the others along.
      Delegate: 'yes',
      OOMPolicy: 'continue',
      // What user code is bounded by takes namespaces and mounts of its own; accelerators are devices.
      ...closed,
      SystemCallFilter: '@system-service @mount',
    },
  });
}
