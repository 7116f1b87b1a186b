import { writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { rolloutPolicySchema } from '#cloud/rollout/policy.js';
import { FleetCloud } from '#test/support/fleet-cloud.js';
import { temporaryFolder } from '#test/support/temporary-folder.js';

const folder = temporaryFolder();
const at = '2026-01-01T00:00:00.000Z';
const numbers = [0, 1, 2, 3, 4];
const name = (prefix: string, n: number): string => `${prefix}${String(n).padStart(3, '0')}`;
let world: FleetCloud;

beforeAll(async () => {
  world = await FleetCloud.start(folder('data'));
  await world.addDevice('cam-1', {});
  const own = { workspace: 'default' };
  const rule = (n: number): object => ({ name: name('r', n), metric: 'requests', by: 'device', above: 1, over: '5m' });
  await writeFile(folder('rules.yaml'), JSON.stringify({ rules: numbers.map(rule) }));
  await world.json('alert', 'apply', '-f', folder('rules.yaml'));
  // More than one page of the size that is given without asking; every third is only remembered.
  const state = (n: number): object => ({
    ...{ state: n % 3 === 0 ? 'quiet' : 'firing', sinceMs: Date.now(), seenMs: Date.now() },
    ...{ value: 2, incident: name('i', n), recentMs: [] },
  });
  const states = Array.from({ length: 160 }, (_, n) => ({
    ...{ ...own, rule: name('r', n % 2), subject: name('cam', n), firing: n % 3 === 0 ? 0 : 1 },
    stateJson: JSON.stringify(state(n)),
  }));
  await world.db.insertInto('alertStates').values(states).execute();
  const tokens = numbers.map((n) => ({
    // Two of one name, made in one instant.
    ...{
      ...own,
      id: name('id', n),
      name: name('t', Math.floor(n / 2)),
      role: 'reader' as const,
      secretHash: name('h', n),
    },
    ...{ createdAt: at, createdBy: null, expiresAt: null, lastUsedAt: null, revokedAt: null },
  }));
  await world.db.insertInto('tokens').values(tokens).execute();
  const claims = numbers.map((n) => ({
    ...{
      ...own,
      name: name('c', n),
      secretHash: name('h', n),
      tagsJson: '{}',
      allowTagsJson: '[]',
      nameTemplate: null,
    },
    ...{
      maxDevices: 10,
      approval: 1,
      ratePerSecond: 1,
      hardwareListed: 0,
      createdAt: at,
      expiresAt: at,
      revokedAt: null,
    },
  }));
  await world.db.insertInto('fleetClaims').values(claims).execute();
  const requests = numbers.map((n) => ({
    ...{
      ...own,
      claim: 'c000',
      keyFingerprint: name('k', n),
      id: name('id', n),
      device: name('d', n),
      hardwareId: null,
    },
    ...{ state: 'pending' as const, requestedAt: at, decidedAt: null, reason: null },
  }));
  await world.db.insertInto('claimRequests').values(requests).execute();
  for (const n of numbers) await world.run('fleet', 'create', name('f', n), '--where', 'name = "cam-1"');
  await world.run('fleet', 'create', 'f001-others', '--where', 'name = "cam-2"');
  const freezes = numbers.map((n) => ({
    ...{ ...own, name: name('z', n), startsAt: Math.floor(n / 2), endsAt: 10, whereText: '', queryJson: null },
    ...{ reason: '', createdAt: at, createdBy: 'x' },
  }));
  await world.db.insertInto('freezes').values(freezes).execute();
  // Two to come at once, one later, two that are over.
  const later = Date.now() + 86_400_000;
  const actionJson = JSON.stringify({ release: 'x', fleet: 'f000', policy: rolloutPolicySchema.parse({ waves: [] }) });
  const schedules = numbers.map((n) => ({
    ...{ ...own, kind: 'rollout' as const, name: String(n + 1), whenJson: JSON.stringify({ at }), actionJson },
    ...{ lateSeconds: 60, lastAt: null, lastJson: null, cancelled: 0 },
    ...{ nextAt: [null, later + 1, null, later, later][n] ?? null, createdAt: at, createdBy: 'x' },
  }));
  await world.db.insertInto('schedules').values(schedules).execute();
  const activity = { ...own, id: 'a1', kind: 'model.register', subject: 'x:1', state: 'succeeded' as const };
  const nothing = {
    inputJson: '{}',
    resource: null,
    problemJson: null,
    cancelRequested: 0,
    startedAt: at,
    endedAt: at,
  };
  await world.db
    .insertInto('activities')
    .values({ ...activity, ...nothing, createdAt: at })
    .execute();
  const lines = numbers.map((n) => ({ activity: 'a1', at, text: name('line', n) }));
  await world.db.insertInto('activityLog').values(lines).execute();
});
afterAll(() => world.stop());

type Listed = readonly unknown[];
const itemsOf = (listed: Listed | { readonly alerts: Listed }): Listed => ('alerts' in listed ? listed.alerts : listed);

/** Page after page, as the list says how to go on. */
async function walk(size: number, args: readonly string[]): Promise<unknown[]> {
  const items: unknown[] = [];
  let after: readonly string[] = [];
  for (let page = 0; page < 5; page++) {
    const run = await world.run(...args, '--limit', String(size), ...after, '--output', 'json');
    expect(run).toMatchObject({ exit: 0 });
    const piece = itemsOf(JSON.parse(run.stdout) as Listed);
    items.push(...piece);
    const cursor = /more follow: --after (\S+)/.exec(run.stderr)?.[1];
    if (cursor === undefined) return items;
    expect(piece).toHaveLength(size);
    after = ['--after', cursor];
  }
  throw new Error('it never ends');
}

describe('a list', () => {
  it.each([
    ['of tokens', 5, 'token list'],
    ['of claims', 5, 'device claim list'],
    ['of devices that wait', 5, 'device claim pending c000'],
    ['of fleets', 6, 'fleet list'],
    ['of the fleets of a device', 5, 'fleet list --device cam-1'],
    ['of lines of an activity', 5, 'activity log a1'],
    ['of freezes', 5, 'freeze list'],
    ['of scheduled rollouts', 5, 'rollout schedules'],
    ['of alerts', 106, 'alert list'],
    ['of the alerts of a rule', 53, 'alert show r001'],
  ])('%s is the same page after page as whole', async (_what, count, command) => {
    const args = command.split(' ');
    const whole = itemsOf(await world.json<Listed>(...args));
    expect(whole).toHaveLength(count);
    expect(await walk(Math.floor(count / 2), args)).toEqual(whole);
  });

  it('of scheduled rollouts has those to come first, the soonest at the top, then the others, newest first', async () => {
    const listed = await world.json<readonly { number: number }[]>('rollout', 'schedules');
    expect(listed.map(({ number }) => number)).toEqual([4, 5, 2, 3, 1]);
  });

  it('that is asked for without a size is a page with the cursor of the next, and refuses one that is none', async () => {
    const headers = { authorization: `Bearer ${world.cloud.ownerToken ?? ''}` };
    const ask = (query: string): Promise<Response> =>
      fetch(`${world.cloud.addresses.http}/v1/workspaces/default/${query}`, { headers });
    const first = (await (await ask('alerts')).json()) as { items: Listed; next: string };
    expect(first.items).toHaveLength(100);
    const rest = (await (await ask(`alerts?cursor=${first.next}`)).json()) as { items: Listed };
    expect(rest.items).toHaveLength(6);
    expect(rest).not.toHaveProperty('next');
    const rules = (await (await ask('alert-rules?limit=2')).json()) as { items: { firing: number }[]; next: string };
    expect(rules.items.map(({ firing }) => firing)).toEqual([53, 53]);
    expect(rules.next).toBeDefined();
    for (const path of ['alerts', 'alert-rules', 'tokens', 'fleet-claims', 'fleet-claims/c000/requests']) {
      expect((await ask(`${path}?cursor=nonsense`)).status).toBe(400);
    }
  });
});
