/** How long every list and count of the API takes with 50,000 devices: see docs/scale.md. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openControlDatabase } from '#cloud/store/control-database.js';
import { openCloudParts } from '#test/support/cloud-parts.js';
import { fillWithDevices, listsOf } from '#test/support/many-devices.js';
import { median, printTable } from './report.js';

const devices = Number(process.env['FLOTILLA_BENCH_DEVICES'] ?? 50_000);
const times = 5;

export async function run(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'flotilla-lists-bench-'));
  const control = await openControlDatabase(join(folder, 'control.db'));
  await fillWithDevices(control, { devices, rollouts: 20, commands: 20 });
  await control.destroy();
  const cloud = await openCloudParts(folder);
  try {
    const rows: string[][] = [];
    for (const [what, path] of listsOf(`d${String(devices / 2).padStart(5, '0')}`)) {
      const wall: number[] = [];
      const cpu: number[] = [];
      let bytes = 0;
      for (let time = 0; time < times; time++) {
        const [began, before] = [performance.now(), process.cpuUsage()];
        const answer = await fetch(`${cloud.url}/v1/workspaces/default${path}`, {
          headers: { authorization: `Bearer ${cloud.token}` },
        });
        const text = await answer.text();
        if (!answer.ok) console.error(`${path}: ${String(answer.status)} ${text}`);
        const { user, system } = process.cpuUsage(before);
        wall.push(performance.now() - began);
        cpu.push((user + system) / 1000);
        bytes = text.length;
      }
      rows.push([what, median(wall).toFixed(1), median(cpu).toFixed(1), (bytes / 1024).toFixed(1)]);
    }
    console.log(
      `${devices.toLocaleString('en-US')} devices, 20 rollouts and 20 commands over all of them; median of 5`,
    );
    printTable(['what', 'ms', 'ms of CPU', 'KiB'], rows);
  } finally {
    await cloud.stop();
    await rm(folder, { recursive: true, force: true });
  }
}
