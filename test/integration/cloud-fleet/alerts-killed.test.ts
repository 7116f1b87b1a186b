import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { AlertNotice } from '#cloud/alerts/alert-notice.js';
import { repository } from '#test/support/repository.js';
import { temporaryFolder } from '#test/support/temporary-folder.js';
import { WebhookReceiver } from '#test/support/webhook-receiver.js';

const folder = temporaryFolder();
const kills = 12;
const events = 120;
let receiver: WebhookReceiver<AlertNotice>;
beforeAll(async () => {
  receiver = await WebhookReceiver.open();
});
afterAll(() => receiver.close());

/** @param kill the how manieth SIGKILL ends it: each at another step of what goes on; undefined: it may end by itself */
async function run(kill: number | undefined): Promise<number | null> {
  const program = join(repository, 'dist/test/support/alerts/judging.js');
  const child = spawn(process.execPath, [program, folder('data'), receiver.url, String(events)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  const watch = setInterval(() => {
    if (kill === undefined || receiver.notices.length < kill * 7) return;
    clearInterval(watch);
    setTimeout(() => child.kill('SIGKILL'), kill);
  }, 1);
  await exited;
  clearInterval(watch);
  return child.exitCode;
}

it('alerts whose control plane is killed again and again fire once and clear once, and each is told', async () => {
  await mkdir(folder('data'), { recursive: true });
  for (let kill = 1; kill <= kills; kill++) expect(await run(kill)).toBeNull();
  expect(await run(undefined)).toBe(0);
  const incidents = new Map<string, { fired: Set<string>; cleared: Set<string> }>();
  for (const { type, incident, id } of receiver.notices) {
    const told = incidents.get(incident) ?? { fired: new Set(), cleared: new Set() };
    incidents.set(incident, told);
    told[type === 'alert.fired' ? 'fired' : 'cleared'].add(id);
  }
  expect(incidents.size).toBe(events);
  for (const { fired, cleared } of incidents.values()) expect([fired.size, cleared.size]).toEqual([1, 1]);
  // Told twice only what a kill cut off.
  expect(receiver.notices.length).toBeLessThanOrEqual(2 * events + kills);
});
