/** What a simulated fleet does, in words. Pure. */
import type { SimulationCounts } from '#shared/protocol/simulation.js';
import { formatBytes, formatFields } from './output.js';

export function describeSimulation(counts: SimulationCounts): string {
  const { devices, enrolled, connected, converged, rejected, failed, stored } = counts;
  const troubled = rejected + failed === 0 ? '' : `, ${String(rejected)} reject, ${String(failed)} failed`;
  return `${of(enrolled, devices)} enrolled, ${String(connected)} connected, ${String(converged)} run what they should${troubled}, ${String(stored)} batches stored`;
}

export function describeSimulationEnd(counts: SimulationCounts, seconds: number): string {
  return formatFields([
    ['devices', `${of(counts.enrolled, counts.devices)} enrolled`],
    ['connected', `${String(counts.connected)}, ${String(counts.connections)} connections made`],
    ['run what they should', String(counts.converged)],
    ['reject', String(counts.rejected)],
    ['failed, to be tried again', String(counts.failed)],
    ['desired documents', `${String(counts.documents)} accepted, ${String(counts.refused)} refused`],
    ['reports', String(counts.reports)],
    ['telemetry and events', `${String(counts.batches)} batches sent, ${String(counts.stored)} known to be stored`],
    ['direct commands', String(counts.commands)],
    ['fetched', formatBytes(counts.fetchedBytes)],
    [
      'simulators',
      `${formatBytes(counts.rssBytes)} of memory, ${counts.cpuSeconds.toFixed(0)} s of CPU in ${seconds.toFixed(0)} s`,
    ],
  ]);
}

function of(some: number, all: number): string {
  return some === all ? String(all) : `${String(some)} of ${String(all)}`;
}
