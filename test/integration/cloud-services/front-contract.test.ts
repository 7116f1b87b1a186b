import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '#shared/kernel/clock.js';
import type { FrontReplica } from '#cloud/services/front/front-table.js';
import { HeldReplica } from '#test/support/held-replica.js';
import { askedOf, deployment, echo, FrontWorld, keyAuth } from '#test/support/front-world.js';

let world: FrontWorld;
let blue: FrontReplica;
let green: FrontReplica;
/** By which the front's clock is ahead. */
let laterMs = 0;
beforeAll(async () => {
  world = await FrontWorld.open({ clock: { ...systemClock, now: () => Date.now() + laterMs } });
  blue = await world.replica(echo('blue'));
  green = await world.replica(echo('green'));
});
afterAll(() => world.end());
beforeEach(() => {
  world.draws = [];
  world.apply([deployment('blue', [blue]), deployment('green', [green])]);
});

describe('who may call', () => {
  it('is refused without a key, in the shape of the face that was asked', async () => {
    const azure = await world.score({}, { authorization: 'Basic abc' });
    expect([azure.status, azure.json]).toEqual([401, { message: expect.stringContaining('key') as string }]);
    const v2 = await world.ask('/v2/models/m/infer', { method: 'POST', headers: { authorization: 'none' } });
    expect([v2.status, v2.json]).toEqual([401, { error: expect.stringContaining('key') as string }]);
  });

  it('is not who has the key of another endpoint', async () => {
    world.apply([], { id: 'ep-2', name: 'other', auth: keyAuth('key-of-other') });
    expect((await world.score({}, { authorization: 'Bearer key-of-other' })).status).toBe(401);
  });

  it('is answered by either of two keys, until one is no longer there', async () => {
    world.apply([deployment('blue', [blue])], { auth: keyAuth('one', 'two') });
    expect((await world.score({}, { authorization: 'Bearer two' })).status).toBe(200);
    world.apply([deployment('blue', [blue])], { auth: keyAuth('one', 'three') });
    expect((await world.score({}, { authorization: 'Bearer two' })).status).toBe(401);
  });

  it('brings a token of this endpoint that counts', async () => {
    const { publicKey, privateKey } = await generateKeyPair('EdDSA');
    const publicKeys = [{ ...(await exportJWK(publicKey)), kid: 'k1' }] as never[];
    world.apply([deployment('blue', [blue])], { auth: { mode: 'token', issuer: 'control', publicKeys } });
    const token = (audience: string, expires: string, key = privateKey): Promise<string> =>
      new SignJWT({})
        .setProtectedHeader({ alg: 'EdDSA', kid: 'k1' })
        .setIssuer('control')
        .setAudience(audience)
        .setExpirationTime(expires)
        .sign(key);
    const statusOf = async (value: string): Promise<number> =>
      (await world.score({}, { authorization: `Bearer ${value}` })).status;
    const good = await token('ep-1', '1h');
    expect(await statusOf(good)).toBe(200);
    expect(await statusOf(good)).toBe(200);
    expect(await statusOf(await token('ep-2', '1h'))).toBe(401);
    expect(await statusOf(await token('ep-1', '-1m'))).toBe(401);
    expect(await statusOf(await token('ep-1', '1h', (await generateKeyPair('EdDSA')).privateKey))).toBe(401);
    laterMs = 3_700_000;
    expect(await statusOf(good)).toBe(401);
    laterMs = 0;
    expect(await statusOf(good)).toBe(200);
    // A token that was taken is not remembered for longer than the keys that it was taken by.
    world.apply([deployment('blue', [blue])], {
      auth: {
        mode: 'token',
        issuer: 'control',
        publicKeys: [await exportJWK((await generateKeyPair('EdDSA')).publicKey)] as never[],
      },
    });
    expect(await statusOf(good)).toBe(401);
  });

  it('is no web page of another origin, where no key is asked for', async () => {
    world.apply([deployment('blue', [blue])], { auth: { mode: 'none' } });
    expect((await world.score()).status).toBe(200);
    expect((await world.score({}, { origin: 'https://evil.example' })).status).toBe(403);
    expect((await world.score({}, { origin: world.address.url })).status).toBe(200);
  });
});

describe('who answers', () => {
  it('is drawn by weight, and named in the answer', async () => {
    world.apply([deployment('blue', [blue]), deployment('green', [green])], { traffic: { blue: 90, green: 10 } });
    world.draws = [0.89, 0.91];
    const answers = [await world.score(), await world.score()];
    expect(answers.map(({ headers }) => headers.get('azureml-model-deployment'))).toEqual(['blue', 'green']);
    expect(answers.map(({ headers }) => headers.get('answered-by'))).toEqual(['blue', 'green']);
  });

  it('is the deployment that the caller names, with traffic or without', async () => {
    const answer = await world.score({}, { 'azureml-model-deployment': 'green' });
    expect(answer.headers.get('answered-by')).toBe('green');
    expect((await world.score({}, { 'azureml-model-deployment': 'red' })).status).toBe(404);
  });

  it('is nobody where no deployment has traffic, or nothing is there', async () => {
    world.apply([deployment('blue', [blue])], { traffic: {} });
    const without = await world.score();
    expect([without.status, JSON.stringify(without.json)]).toEqual([
      404,
      expect.stringContaining('azureml-model-deployment'),
    ]);
    for (const path of ['/endpoints/main/nobody/score', '/endpoints/main', '/score', '/']) {
      expect((await fetch(world.address.url + path)).status, path).toBe(404);
    }
  });
});

describe('what goes through', () => {
  it('keeps the caller’s secrets and our words from the replica, and the replica’s from the caller', async () => {
    const liar = await world.replica((_request, response) => {
      response.writeHead(200, {
        ...{ 'azureml-model-deployment': 'red', 'ms-azureml-model-error-statuscode': '500', 'x-request-id': 'theirs' },
        ...{ 'set-cookie': 'a=b', 'content-type': 'text/plain', 'flotilla-version': '3' },
      });
      response.end('lies');
    });
    world.apply([deployment('blue', [liar]), deployment('green', [blue])]);
    const lied = await world.score({}, { 'x-request-id': 'mine' });
    expect(lied.headers.get('azureml-model-deployment')).toBe('blue');
    expect(lied.headers.get('x-request-id')).toBe('mine');
    expect(lied.headers.get('flotilla-version')).toBe('3');
    expect([lied.headers.get('set-cookie'), lied.headers.get('ms-azureml-model-error-statuscode')]).toEqual([
      null,
      null,
    ]);

    const asked = askedOf(
      await world.score(
        {},
        {
          ...{ cookie: 'session=1', 'azureml-model-deployment': 'green', 'ms-azureml-model-error-statuscode': '1' },
          ...{ 'x-own': 'kept', 'x-request-id': 'mine-2', origin: world.address.url },
        },
      ),
    ).headers;
    expect(asked).toMatchObject({ host: 'localhost', 'x-own': 'kept', 'x-request-id': 'mine-2' });
    for (const name of [
      'authorization',
      'cookie',
      'origin',
      'azureml-model-deployment',
      'ms-azureml-model-error-statuscode',
    ])
      expect(asked[name], name).toBeUndefined();
  });

  it('is every path of the faces with its query, and no other', async () => {
    for (const path of [
      '/',
      '/score?a=1',
      '/swagger.json?version=3',
      '/v2',
      '/v2/health/ready',
      '/v2/models/m/versions/2',
      '/v1/models/m:predict',
    ])
      expect(askedOf(await world.ask(path)).url, path).toBe(path);
    expect(askedOf(await world.ask('')).url).toBe('/');
    for (const path of [
      '/metrics',
      '/v2/repository/models/m/load',
      '/v2/models/m/trace/setting',
      '/private',
      '/score/a/b',
    ])
      expect((await world.ask(path)).status, path).toBe(404);
  });

  it('is a body of any size, both ways, as it is', async () => {
    const large = Buffer.alloc(3 * 1024 * 1024, 'large enough to flow ');
    for (const body of [Buffer.from('{}'), large.subarray(0, 64 * 1024), large]) {
      const answer = await world.ask('/score', { method: 'POST', body });
      expect(Buffer.compare(answer.bytes, body), String(body.length)).toBe(0);
    }
    const inChunks = (pieces: number): RequestInit => {
      const body = ReadableStream.from(Array.from({ length: pieces }, () => large.subarray(0, 700_000)));
      return { method: 'POST', body, duplex: 'half' } as RequestInit;
    };
    expect((await world.ask('/score', inChunks(2))).bytes.length).toBe(1_400_000);
    world.apply([deployment('blue', [await world.replica(new HeldReplica().listener)])]);
    expect((await world.ask('/score', inChunks(13))).status).toBe(413);
    expect((await world.ask('/score', { method: 'POST', body: Buffer.alloc(9 * 1024 * 1024) })).status).toBe(413);
  });

  it('is a failure of the model as 424 with its status, and on V2 as it is', async () => {
    const failing = await world.replica((request, response) => {
      request.resume();
      response.writeHead(500, 'Script Broke', { 'content-type': 'application/json' });
      response.end('{"message":"broke"}');
    });
    world.apply([deployment('blue', [failing])]);
    const before = world.front.numbers('ep-1', 'blue').errors;
    const azure = await world.score();
    expect([azure.status, azure.json]).toEqual([424, { message: 'broke' }]);
    expect(azure.headers.get('ms-azureml-model-error-statuscode')).toBe('500');
    expect(azure.headers.get('ms-azureml-model-error-reason')).toBe('Script Broke');
    const v2 = await world.ask('/v2/models/m/infer', { method: 'POST', body: '{}' });
    expect([v2.status, v2.headers.get('ms-azureml-model-error-statuscode')]).toEqual([500, '500']);
    expect(world.front.numbers('ep-1', 'blue').errors - before).toBe(2);
  });
});
