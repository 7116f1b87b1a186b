import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CliHarness } from '#test/support/cli/cli-harness.js';
import { type Answer, type RegistryHarness, startRegistry } from '#test/support/cloud-registry/registry-harness.js';
import { temporaryFolder } from '#test/support/temporary-folder.js';

const folder = temporaryFolder();
let cloud: RegistryHarness;
let cli: CliHarness;
beforeAll(async () => {
  cloud = await startRegistry(folder('data'));
  cli = await CliHarness.make();
  await cloud.request('POST', '/v1/workspaces', { name: 'theirs' });
});
afterAll(async () => {
  await cloud.stop();
  await cli.remove();
});

interface Made {
  readonly id: string;
  readonly token: string;
  readonly expiresAt: string | null;
}

async function make(path: string, body: object): Promise<Made> {
  const answer = await cloud.request('POST', path, body);
  expect(answer.status, answer.bytes.toString()).toBe(201);
  return answer.body as unknown as Made;
}

const as = (token: string, method: string, path: string, body?: unknown): Promise<Answer> =>
  cloud.request(method, path, body, { authorization: `Bearer ${token}` });

describe('a token', () => {
  it('opens what its role and workspace say, and says what it is', async () => {
    const { token } = await make('/v1/workspaces/theirs/tokens', { name: 'ci', role: 'contributor', ttlSeconds: 3600 });
    expect((await as(token, 'GET', '/v1/self')).body).toMatchObject({
      name: 'ci',
      role: 'contributor',
      workspace: 'theirs',
    });
    expect((await as(token, 'GET', '/v1/workspaces/theirs/models')).status).toBe(200);
    expect((await as(token, 'GET', '/v1/workspaces/default/models')).status).toBe(403);
    const refused = await as(token, 'POST', '/v1/workspaces/theirs/tokens', { name: 'x', role: 'reader' });
    expect(refused.status).toBe(403);
    expect(refused.body['message']).toContain('role owner');
  });

  it('is stored as a hash of its secret half, which no answer repeats', async () => {
    const { token, id } = await make('/v1/tokens', { name: 'kept', role: 'reader' });
    const secret = token.split('_').slice(2).join('_');
    const rows = await cloud.ground.control.selectFrom('tokens').selectAll().execute();
    const entries = await cloud.ground.control.selectFrom('auditEntries').selectAll().execute();
    const listed = await cloud.request('GET', '/v1/tokens');
    expect(listed.bytes.toString()).toContain(id);
    for (const text of [JSON.stringify(rows), JSON.stringify(entries), listed.bytes.toString()]) {
      expect(text).not.toContain(secret);
      expect(text).not.toContain('"secretHash":"undefined');
    }
    expect(listed.bytes.toString()).not.toContain('secretHash');
  });

  it('with the id of another and a wrong secret, cut, or in capitals is refused like an unknown one', async () => {
    const { token, id } = await make('/v1/tokens', { name: 'near', role: 'reader' });
    const other = `flt_${id}_${'A'.repeat(43)}`;
    const unknown = (await as(`flt_${'0'.repeat(16)}_${'A'.repeat(43)}`, 'GET', '/v1/self')).body['message'];
    for (const wrong of [other, token.slice(0, -1), token.toUpperCase(), `${token}=`, `flt_${id}_`, id]) {
      const answer = await as(wrong, 'GET', '/v1/self');
      expect([answer.status, answer.body['message']], wrong).toEqual([401, unknown]);
    }
    expect((await as(token, 'GET', '/v1/self')).status).toBe(200);
  });

  it('that has expired is refused, and says so', async () => {
    const { token, id } = await make('/v1/tokens', { name: 'short', role: 'owner', ttlSeconds: 3600 });
    expect((await as(token, 'GET', '/v1/self')).status).toBe(200);
    await cloud.ground.control
      .updateTable('tokens')
      .set({ expiresAt: '2020-01-01T00:00:00.000Z' })
      .where('id', '=', id)
      .execute();
    const answer = await as(token, 'GET', '/v1/self');
    expect(answer.status).toBe(401);
    expect(answer.body['message']).toContain('expired');
  });

  it('makes none that is stronger: not in role, reach or duration', async () => {
    const boss = await make('/v1/workspaces/theirs/tokens', { name: 'boss', role: 'owner', ttlSeconds: 3600 });
    const ask = (path: string, body: object): Promise<Answer> =>
      as(boss.token, 'POST', path, { name: 'child', ...body });
    expect((await ask('/v1/tokens', { role: 'reader', ttlSeconds: 60 })).status).toBe(403);
    expect((await ask('/v1/workspaces/default/tokens', { role: 'reader', ttlSeconds: 60 })).status).toBe(403);
    const outlives = await ask('/v1/workspaces/theirs/tokens', { role: 'owner', ttlSeconds: 7200 });
    expect([outlives.status, outlives.body['message']]).toEqual([403, expect.stringContaining('outlives')]);
    expect((await ask('/v1/workspaces/theirs/tokens', { role: 'owner' })).status).toBe(403);
    expect((await ask('/v1/workspaces/theirs/tokens', { role: 'owner', ttlSeconds: 60 })).status).toBe(201);
  });

  it('is told apart by its name while it works', async () => {
    const first = await make('/v1/tokens', { name: 'twice', role: 'reader' });
    expect((await cloud.request('POST', '/v1/tokens', { name: 'twice', role: 'reader' })).body['code']).toBe(
      'token.exists',
    );
    await cloud.request('DELETE', `/v1/tokens/${first.id}`);
    await make('/v1/tokens', { name: 'twice', role: 'reader' });
  });

  it('of another workspace is neither listed nor revoked by an owner of this one', async () => {
    const mine = await make('/v1/workspaces/theirs/tokens', { name: 'mine', role: 'owner' });
    const foreign = await make('/v1/workspaces/default/tokens', { name: 'foreign', role: 'reader' });
    const listed = await as(mine.token, 'GET', '/v1/workspaces/theirs/tokens');
    expect(listed.bytes.toString()).not.toContain(foreign.id);
    expect((await as(mine.token, 'DELETE', `/v1/workspaces/theirs/tokens/${foreign.id}`)).body['code']).toBe(
      'token.not-found',
    );
    expect((await as(foreign.token, 'GET', '/v1/self')).status).toBe(200);
  });

  it('has its last use written at most once a minute', async () => {
    const { token, id } = await make('/v1/tokens', { name: 'used', role: 'reader' });
    const lastUsed = async (): Promise<string | null> =>
      (
        await cloud.ground.control
          .selectFrom('tokens')
          .select('lastUsedAt')
          .where('id', '=', id)
          .executeTakeFirstOrThrow()
      ).lastUsedAt;
    expect(await lastUsed()).toBeNull();
    await as(token, 'GET', '/v1/self');
    const first = await lastUsed();
    expect(first).not.toBeNull();
    await as(token, 'GET', '/v1/self');
    expect(await lastUsed()).toBe(first);
    const before = new Date(Date.now() - 61_000).toISOString();
    await cloud.ground.control.updateTable('tokens').set({ lastUsedAt: before }).where('id', '=', id).execute();
    await as(token, 'GET', '/v1/self');
    expect(await lastUsed()).not.toBe(before);
  });
});

describe('a revocation', () => {
  it('ends the event stream that is open under the token, and no other, and every later call', async () => {
    const [doomed, other] = [
      await make('/v1/tokens', { name: 'doomed', role: 'reader' }),
      await make('/v1/tokens', { name: 'other', role: 'reader' }),
    ];
    const streams = { doomed: await openStream(doomed.token), other: await openStream(other.token) };
    expect((await cloud.request('DELETE', `/v1/tokens/${doomed.id}`)).status).toBe(200);
    await streams.doomed.ended;
    const answer = await as(doomed.token, 'GET', '/v1/self');
    expect([answer.status, answer.body['message']]).toEqual([401, expect.stringContaining('revoked')]);
    cloud.ground.live.publish({ workspace: 'default', type: 'device.changed', subject: 'cam-1', data: {} });
    await streams.other.heard('cam-1');
    streams.other.close();
  });

  it('comes by itself when the token expires', async () => {
    const { token } = await make('/v1/tokens', { name: 'brief', role: 'reader', ttlSeconds: 1 });
    await (await openStream(token)).ended;
  });
});

/** A raw event stream of the default workspace. */
async function openStream(
  token: string,
): Promise<{ ended: Promise<void>; heard(text: string): Promise<void>; close(): void }> {
  const { port } = new URL(cloud.url);
  const socket = connect(Number(port), '127.0.0.1');
  let text = '';
  const waiting = new Set<() => void>();
  socket.setEncoding('utf8').on('data', (piece: string) => {
    text += piece;
    for (const check of waiting) check();
  });
  const ended = new Promise<void>((resolve) => socket.once('end', resolve));
  const heard = (wanted: string): Promise<void> =>
    new Promise((resolve) => {
      const check = (): void => {
        if (text.includes(wanted)) resolve();
      };
      waiting.add(check);
      check();
    });
  socket.write(
    `GET /v1/workspaces/default/events HTTP/1.1\r\nhost: a\r\nconnection: close\r\nauthorization: Bearer ${token}\r\n\r\n`,
  );
  await heard(': connected');
  return { ended, heard, close: () => socket.destroy() };
}

describe('flotilla token', () => {
  it('makes, lists and revokes by name, in the workspace or for the installation', async () => {
    const run = (...args: string[]): ReturnType<CliHarness['run']> =>
      cli.run(args, { url: cloud.url, token: cloud.token });
    const made = await run(
      'token',
      'create',
      '--name',
      'robot',
      '--role',
      'contributor',
      '--workspace',
      'theirs',
      '--output',
      'json',
    );
    expect(JSON.parse(made.stdout)).toMatchObject({ name: 'robot', role: 'contributor', workspace: 'theirs' });
    expect((await run('token', 'list', '--workspace', 'theirs')).stdout).toMatch(/robot +contributor +theirs/);
    expect((await run('token', 'revoke', 'robot', '--workspace', 'theirs')).exit).toBe(0);
    expect((await run('token', 'list', '--workspace', 'theirs')).stdout).toMatch(/robot .* revoked/);
    const all = await run('token', 'create', '--name', 'all', '--role', 'reader', '--installation', '--ttl', 'never');
    expect(all.stdout).toMatch(/reader all of the installation, without end[\s\S]*flt_/);
    expect((await run('token', 'revoke', 'nobody')).stderr).toContain('token.not-found');
    expect((await run('token', 'create', '--name', 'x', '--role', 'king')).exit).toBe(2);
  });
});
