/**
 * Attacks by what devices are given and say: archives that a publisher whom the device trusts has signed, enrolment
 * tokens that were used, and messages that are played back.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hostileImage } from '../../support/hostile-image.js';
import { type HostileEntry, hostileTar } from '../../support/hostile-tar.js';
import { readResponses, sendRaw } from '../../support/raw-http.js';
import { repository } from '../../support/world.js';
import { type AttackSite, eventually, own } from './site.js';

const workspace = '/v1/workspaces/default';
const content = Buffer.from('content');
const tenGigabytes = 10 * 1024 ** 3;

/** Module name and what its archive holds. */
const archives: readonly [string, string, readonly HostileEntry[]][] = [
  ['a path with ..', 'dots', [{ path: '../../../escaped', content }]],
  ['an absolute path', 'absolute', [{ path: '/tmp/flotilla-escaped', content }]],
  [
    'a link, and a file through it',
    'link',
    [
      { path: 'l', type: '2', link: '../../..' },
      { path: 'l/escaped', content },
    ],
  ],
  ['a hard link', 'hardlink', [{ path: 'l', type: '1', link: '/etc/passwd' }]],
  ['a device', 'device', [{ path: 'null', type: '3' }]],
  ['a claim of gigabytes', 'gigabytes', [{ path: 'zeros', content, size: 0o77777777777 }]],
];

export function deviceAttacks(siteOf: () => AttackSite): void {
  let site: AttackSite;
  beforeAll(() => {
    site = siteOf();
  });

  describe('an archive with', () => {
    beforeAll(async () => {
      for (const [, name, entries] of archives) {
        const image = await hostileImage(name, hostileTar(entries), site.publisher);
        for (const { digest, bytes } of image.blobs) {
          const stored = await site.api(`${workspace}/blobs/${digest}`, {
            method: 'PUT',
            body: bytes,
            headers: { 'content-type': 'application/octet-stream' },
          });
          expect([200, 201, 204], name).toContain(stored.status);
        }
        const { digest, envelope } = image;
        expect((await site.postJson(`${workspace}/images`, JSON.stringify({ digest, envelope }))).status).toBe(202);
        await eventually(
          `${name} is registered`,
          async () => (await site.api(`${workspace}/images/${digest}`)).status === 200,
        );
        const deployed = await site.api(`${workspace}/devices/cam-1/modules/${name}`, {
          method: 'PUT',
          body: JSON.stringify({ image: digest }),
          headers: { 'content-type': 'application/json' },
        });
        expect(deployed.status, deployed.text).toBe(202);
      }
    });
    afterAll(async () => {
      for (const [, name] of archives) await site.world.flotilla('undeploy', name, '--device', 'cam-1', '--no-wait');
      await eventually('the device is rid of them', async () => {
        const status = JSON.parse(await site.world.agentCommand('cam-1', 'status', '--output', 'json')) as Status;
        return Object.keys(status.reported.modules).join() === 'digits';
      });
    });

    it.each(archives)('%s is not unpacked, whoever signed it, and what runs goes on', async (_what, name) => {
      let reason: { code: string } | undefined;
      await eventually(`${name} is rejected`, async () => {
        const status = JSON.parse(await site.world.agentCommand('cam-1', 'status', '--output', 'json')) as Status;
        const { candidate } = status.reported.modules[name] ?? {};
        reason = candidate?.reason;
        return candidate?.state === 'rejected';
      });
      expect(reason?.code).toMatch(/^archive\./);
      for (const path of ['escaped', 'cam-1/escaped', 'cam-1/modules/escaped']) {
        await expect(readFile(join(site.world.folder, path))).rejects.toThrow('ENOENT');
      }
      await expect(readFile('/tmp/flotilla-escaped')).rejects.toThrow('ENOENT');
      expect((await fetch(`http://127.0.0.1:${String(site.scoringPort)}/v2/models/digits/ready`)).status).toBe(200);
    });
  });

  it('ten gigabytes of zeros are refused as soon as they are announced', async () => {
    const { ports, ownerToken } = site.world;
    const announced = [
      [ports.api, 'POST', '/v1/workspaces', 'application/json'],
      [ports.api, 'PUT', `${workspace}/blobs/sha256:${'0'.repeat(64)}`, 'application/octet-stream'],
      [site.scoringPort, 'POST', '/v2/models/digits/infer', 'application/json'],
      [site.scoringPort, 'POST', '/score', 'application/json'],
    ] as const;
    for (const [port, method, path, type] of announced) {
      const head = `${method} ${path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ${ownerToken}\r\ncontent-type: ${type}\r\ncontent-length: ${String(tenGigabytes)}\r\n\r\n`;
      const { received } = await sendRaw(port, { chunks: [Buffer.from(head), Buffer.alloc(65_536)] }, 10_000);
      expect(readResponses(received)[0]?.status, path).toBe(413);
    }
  });

  it('an image that nobody signed is not registered', async () => {
    const { digest, envelope } = await hostileImage('unsigned', hostileTar([]), site.publisher);
    for (const forged of [{ ...envelope, signatures: [] }, { ...envelope, payload: '' }, undefined]) {
      const { status } = await site.postJson(`${workspace}/images`, JSON.stringify({ digest, envelope: forged }));
      expect([400, 422]).toContain(status);
    }
    expect((await site.api(`${workspace}/images/${digest}`)).status).toBe(404);
  });

  it('an enrolment token that was used lets no second device in, and one of another workspace none in here', async () => {
    const { world } = site;
    const { token } = (await world.flotillaJson('device', 'token')) as { token: string };
    await world.agentCommand('cam-4', 'enroll', '--token', token, '--name', 'cam-4');
    const again = world.agentCommand('cam-5', 'enroll', '--token', token, '--name', 'cam-5');
    await expect(again).rejects.toThrow(/enrolment\.token-used/);
    expect((await site.api(`${workspace}/devices/cam-5`)).status).toBe(404);

    await world.flotilla('workspace', 'create', 'plant');
    const foreign = (await world.flotillaJson('device', 'token', '--workspace', 'plant')) as { token: string };
    await world.agentCommand('cam-6', 'enroll', '--token', foreign.token, '--name', 'cam-6');
    expect((await site.api(`${workspace}/devices/cam-6`)).status).toBe(404);
    expect((await site.api('/v1/workspaces/plant/devices/cam-6')).status).toBe(200);
  });

  it('events that are played back are stored once', async () => {
    const text = await readFile(join(repository, 'test/fixtures/messages/events.json'), 'utf8');
    const { droppedFrom: _, ...batch } = JSON.parse(text) as { droppedFrom: number; events: object[] };
    const of = (sequence: number): string => {
      const events = batch.events.map((event) => ({ ...event, message: `played back ${String(sequence)}` }));
      return JSON.stringify({ ...batch, bootId: 700, sequence, events });
    };
    const client = await site.asTaken();
    for (const sequence of [1, 1, 2, 1, 2]) await client.publishAsync(`${own}/events`, of(sequence), { qos: 1 });
    const stored = async (): Promise<number> => {
      const { text: listed } = await site.api(`${workspace}/devices/cam-2/events?limit=100`);
      return listed.split('played back').length - 1;
    };
    await eventually('both are stored', async () => (await stored()) >= 2);
    // One more, after which nothing can still be on its way.
    await client.publishAsync(`${own}/events`, of(3), { qos: 1 });
    await eventually('the third is stored', async () => (await stored()) >= 3);
    expect(await stored()).toBe(3);
    await client.endAsync();
  });
}

interface Status {
  readonly reported: {
    readonly modules: Readonly<
      Record<string, { readonly candidate?: { readonly state: string; readonly reason?: { readonly code: string } } }>
    >;
  };
}
