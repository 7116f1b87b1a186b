/**
 * A client that stands at the device: scores one input every so often, without retry, until it is told to
 * stop, and prints what it got. A process of its own, since the device may be in another network namespace.
 */
import { readFile } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';

const [url = '', bodyFile = '', everyMs = '250'] = process.argv.slice(2);
const body = await readFile(bodyFile);
const statuses: Record<string, number> = {};
let stopping = false;
process.on('SIGTERM', () => {
  stopping = true;
});
while (!stopping) {
  const status = await fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body }).then(
    async (response) => {
      await response.arrayBuffer();
      return String(response.status);
    },
    (error: unknown) => (error instanceof Error ? error.message : String(error)),
  );
  statuses[status] = (statuses[status] ?? 0) + 1;
  await pause(Number(everyMs));
}
process.stdout.write(`${JSON.stringify(statuses)}\n`);
