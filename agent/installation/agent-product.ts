/** The agent as a service of systemd: names, places, settings to begin with, and its unit. */
import type { Product } from '#shared/platform/installation/product.js';
import { unitText } from '#shared/platform/installation/unit-text.js';

const stateFolder = '/var/lib/flotilla-agent';
const group = 'flotilla-agent';

/** What it takes to start modules under users of their own in namespaces and control groups: docs/sandbox.md. */
const capabilities = [
  'CAP_SYS_ADMIN',
  'CAP_SYS_CHROOT',
  'CAP_SETUID',
  'CAP_SETGID',
  'CAP_SETPCAP',
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_FOWNER',
  'CAP_KILL',
  'CAP_SYS_PTRACE',
  'CAP_SYS_RESOURCE',
  'CAP_NET_BIND_SERVICE',
];

const settings = `# Settings of flotilla-agent. All there are: docs/settings.md, or flotilla-agent run --print-config.
stateDir: ${stateFolder}
local:
  # Members of this group may ask the agent (flotilla-agent status, explain, logs) without being root.
  socket: /run/flotilla-agent/agent.sock
  socketGroup: ${group}
# scoring:
#   address: 0.0.0.0        # other machines then need a key: flotilla-agent keys create
`;

export const agentProduct: Product = {
  name: 'flotilla-agent',
  group,
  stateFolder,
  settings: { folder: '/etc/flotilla-agent', file: 'agent.yaml', text: settings },
  unit: agentUnit,
};

/** @param command path of the installed program */
export function agentUnit(command: string): string {
  return unitText('The Flotilla agent. Your own changes: systemctl edit flotilla-agent.', {
    Unit: {
      Description: 'Flotilla agent',
      After: 'network.target',
      // Until then there is nothing to run: flotilla-agent enroll.
      ConditionPathExists: `${stateFolder}/identity.json`,
      StartLimitIntervalSec: '0',
    },
    Service: {
      Type: 'exec',
      ExecStart: `${command} run`,
      Restart: 'always',
      RestartSec: '5',
      KillMode: 'mixed',
      TimeoutStopSec: '30',
      Group: group,
      UMask: '0077',
      StateDirectory: 'flotilla-agent',
      StateDirectoryMode: '0700',
      RuntimeDirectory: 'flotilla-agent',
      RuntimeDirectoryMode: '0750',
      WorkingDirectory: stateFolder,
      // Control groups for modules; one that is ended for its memory must not take the agent along.
      Delegate: 'yes',
      OOMPolicy: 'continue',
      // Root, because modules get users, mounts and networks of their own; with no more than that takes.
      CapabilityBoundingSet: capabilities.join(' '),
      NoNewPrivileges: 'yes',
      ProtectSystem: 'strict',
      ProtectHome: 'yes',
      PrivateTmp: 'yes',
      ProtectKernelTunables: 'yes',
      ProtectKernelModules: 'yes',
      ProtectKernelLogs: 'yes',
      LockPersonality: 'yes',
      RestrictRealtime: 'yes',
      RestrictSUIDSGID: 'yes',
      RestrictAddressFamilies: 'AF_UNIX AF_INET AF_INET6 AF_NETLINK',
      SystemCallArchitectures: 'native',
      SystemCallFilter: '@system-service @mount',
      SystemCallErrorNumber: 'EPERM',
    },
    Install: { WantedBy: 'multi-user.target' },
  });
}
