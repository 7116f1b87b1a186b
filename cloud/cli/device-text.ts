/** Devices and their modules in words. */
import type { ModuleReport } from '#shared/protocol/reported.js';
import { sandboxText } from '#shared/protocol/sandbox.js';
import type { DeviceBody } from '#cloud/http/schemas/devices.js';
import { describeCollect } from './collect-arguments.js';
import { describeShadows } from './shadow-text.js';
import { formatAge, formatBytes, formatFields, formatList, formatTable, formatTags } from './output.js';

type Twin = Pick<DeviceBody, 'desired' | 'reported'>;

/** One row a device. */
export function describeDevices(devices: readonly DeviceBody[], nowMs: number, whenNone: string): string {
  return formatList(
    devices,
    ['DEVICE', 'STATE', 'SEEN', 'MODULES', 'TAGS'],
    (device) => [
      device.name,
      stateOf(device),
      formatAge(device.lastSeenAt, nowMs),
      moduleSummary(device),
      formatTags(device.tags),
    ],
    whenNone,
  );
}

function stateOf(device: DeviceBody): string {
  if (device.retiredAt !== undefined) return 'retired';
  return device.online ? 'online' : 'offline';
}

export function describeDevice(device: DeviceBody, nowMs: number): string {
  const { desired, reported } = device;
  const { capabilities, scoring, refused } = reported;
  const settled = reported.converged && reported.generation === desired.generation;
  const fields = formatFields([
    ['device', device.name],
    ['tags', formatTags(device.tags)],
    ['state', device.retiredAt === undefined ? (device.online ? 'online' : 'offline') : `retired ${device.retiredAt}`],
    ['seen', formatAge(device.lastSeenAt, nowMs)],
    ['enrolled', device.enrolledAt],
    ['agent', capabilities && `${capabilities.agentVersion} on ${capabilities.hostname} (${capabilities.platform})`],
    [
      'machine',
      capabilities &&
        `${String(capabilities.cpus)} cores, ${formatBytes(capabilities.memoryBytes)} memory, ${capabilities.accelerators.join(', ')}`,
    ],
    ['sandbox', capabilities && sandboxText(capabilities.sandbox)],
    ['scoring', scoring && `http://${scoring.address}:${String(scoring.port)}`],
    [
      'generation',
      `${String(desired.generation)} desired, ${String(reported.generation)} reported${settled ? ', converged' : ', not converged'}`,
    ],
    ['release', desired.release],
    ['refused', refused ? `${refused.problem.code}: ${refused.problem.message} (${refused.at})` : undefined],
  ]);
  const modules = describeModules(device);
  return modules === '' ? fields : `${fields}\n${modules}`;
}

/** One row a module, desired or reported; empty when there is none. */
export function describeModules({ desired, reported }: Twin): string {
  const names = [...new Set([...Object.keys(desired.modules), ...Object.keys(reported.modules)])].sort();
  if (names.length === 0) return '';
  const rows = names.map((name) => {
    const wanted = desired.modules[name];
    const report = reported.modules[name];
    return [
      name,
      wanted === undefined ? '(to be gone)' : `${wanted.name}:${String(wanted.version)}`,
      activeText(report),
      candidateText(report),
      report?.active?.provider ?? '-',
      report?.candidate?.reason?.message ?? report?.active?.reason?.message ?? '',
    ];
  });
  const table = formatTable(['MODULE', 'DESIRED', 'ACTIVE', 'CANDIDATE', 'PROVIDER', 'REASON'], rows);
  const parts = [table, describeShadows({ desired, reported }), collectsText(desired)];
  return parts.filter((part) => part !== '').join('\n');
}

function collectsText({ modules }: Twin['desired']): string {
  return Object.entries(modules)
    .flatMap(([name, { collect }]) => (collect === undefined ? [] : [`${name} collects ${describeCollect(collect)}\n`]))
    .join('');
}

/** `digits:2` where it runs as desired, with its state where not. */
export function moduleSummary({ desired, reported }: Twin): string {
  const parts = Object.entries(desired.modules).map(([name, wanted]) => {
    const report = reported.modules[name];
    const label =
      wanted.name === name ? `${name}:${String(wanted.version)}` : `${name}=${wanted.name}:${String(wanted.version)}`;
    if (report?.active?.digest === wanted.digest && report.candidate === undefined) {
      return report.active.state === 'running' ? label : `${label} (${report.active.state})`;
    }
    return `${label} (${report?.candidate?.state ?? 'waiting'})`;
  });
  return parts.length === 0 ? '-' : parts.sort().join(' ');
}

function activeText(report: ModuleReport | undefined): string {
  const active = report?.active;
  return active === undefined ? '-' : `version ${String(active.version)} ${active.state}`;
}

function candidateText(report: ModuleReport | undefined): string {
  const candidate = report?.candidate;
  if (candidate === undefined) return '-';
  const done = candidate.numbers?.['bytesFetched'];
  const total = candidate.numbers?.['bytesTotal'];
  const bytes =
    candidate.state === 'fetching' && done !== undefined && total !== undefined
      ? ` ${formatBytes(done)}/${formatBytes(total)}`
      : '';
  return `version ${String(candidate.version)} ${candidate.state}${bytes}`;
}
