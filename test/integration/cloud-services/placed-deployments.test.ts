/** What is deployed, on devices and behind endpoints, as one list; and orders that change nothing. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DeploymentOffice } from '#cloud/services/control/deployment-office.js';
import { serviceSettingsSchema } from '#cloud/services/control/endpoint-model.js';
import { fillWithDevices } from '#test/support/many-devices.js';
import { EndpointWorld } from '#test/support/services/endpoint-world.js';
import { temporaryFolder } from '#test/support/temporary-folder.js';

const folder = temporaryFolder();
let world: EndpointWorld;
beforeAll(async () => {
  world = await EndpointWorld.open(folder('data'));
  await fillWithDevices(world.parts.ground.control, { devices: 3, rollouts: 0, commands: 0 });
  await world.addImage('digits', 1);
  await world.trust();
  await world.json('endpoint', 'create', 'fraud');
  await world.json('deployment', 'create', 'blue', '--endpoint', 'fraud', '--image', 'digits:1');
}, 60_000);
afterAll(() => world.stop());

describe('all deployments of a workspace', () => {
  it('are one list, of both kinds, in pages that leave nothing out', async () => {
    type Placed = { kind: string; endpoint?: string; name?: string; device?: string; module?: string };
    const all = await world.json<Placed[]>('deployment', 'list');
    const places = all.map(({ endpoint, name, device, module }) => [endpoint ?? device, name ?? module].join('/'));
    expect(places[0]).toBe('fraud/blue');
    expect(places.slice(1)).toEqual(places.slice(1).toSorted());
    expect(new Set(all.map(({ kind }) => kind))).toEqual(new Set(['web-service', 'iot-module']));
    const paged: Placed[] = [];
    const headers = { authorization: `Bearer ${world.parts.token}` };
    for (let after = ''; ; ) {
      const answer = await fetch(`${world.parts.url}/v1/workspaces/default/deployments?limit=1${after}`, { headers });
      const { items, next } = (await answer.json()) as { items: Placed[]; next?: string };
      paged.push(...items);
      if (next === undefined) break;
      after = `&cursor=${encodeURIComponent(next)}`;
    }
    expect(paged).toEqual(all);
    expect(await world.json('deployment', 'list', '--kind', 'iot-module')).toEqual(all.slice(1));
    expect(await world.json('deployment', 'list', '--kind', 'web-service')).toEqual(all.slice(0, 1));
    expect(await world.json('deployment', 'list', '--image', 'digits:1')).toEqual(all.slice(0, 1));
    expect((await world.run('deployment', 'list')).stdout).toMatch(/web-service +fraud +blue +digits:1/);
    expect(await world.run('deployment', 'list', '--image', 'digits:9')).toMatchObject({ exit: 4 });
  });

  it('stay as they were ordered when watching them is cancelled, which says what undoes them', async () => {
    world.host.away = true;
    const change = world.run('deployment', 'scale', 'blue', '--endpoint', 'fraud', '--replicas', '4');
    const running = async () => (await world.json<{ id: string; state: string }[]>('activity', 'list'))[0];
    await expect.poll(async () => (await running())?.state, { timeout: 10_000 }).toBe('running');
    const { stderr } = await world.run('activity', 'cancel', (await running())?.id ?? '');
    expect(stderr).toContain('The change of fraud/blue stays, and goes on');
    expect(stderr).toContain('flotilla deployment scale blue --endpoint fraud with what it was before');
    world.host.away = false;
    await change;
    expect(await world.json('deployment', 'show', 'blue', '--endpoint', 'fraud')).toMatchObject({
      scale: { replicas: 4 },
    });
  });

  it('are neither made nor changed where web services are turned off', async () => {
    const office = new DeploymentOffice({ enabled: false } as ConstructorParameters<typeof DeploymentOffice>[0]);
    const wish = {
      name: 'red',
      image: 'digits:1',
      settings: {},
      service: serviceSettingsSchema.parse({ scale: { kind: 'fixed', replicas: 1 } }),
    };
    const refusal = { code: 'service.disabled', message: /set services.enabled/ };
    await expect(office.create('default', 'fraud', wish)).rejects.toMatchObject(refusal);
    await expect(office.change('default', 'fraud', 'blue', { image: 'digits:2' })).rejects.toMatchObject(refusal);
  });
});
