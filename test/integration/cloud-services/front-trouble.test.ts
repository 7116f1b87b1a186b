import { X509Certificate } from 'node:crypto';
import { get } from 'node:http';
import { get as getOverTls } from 'node:https';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Front } from '#cloud/services/front/front.js';
import type { TlsFiles } from '#cloud/services/front/front-server.js';
import type { FrontReplica } from '#cloud/services/front/front-table.js';
import type { MirroredPair } from '#cloud/services/front/mirror.js';
import { deployment, echo, frontOptions, FrontWorld, keyAuth } from '#test/support/front-world.js';
import { type TestCertificate, testCertificate } from '#test/support/test-certificates.js';
import { HeldReplica } from '#test/support/held-replica.js';
import { HttpConnection, postRequest } from '#test/bench/http-client.js';

let world: FrontWorld;
let sound: FrontReplica;
beforeAll(async () => {
  world = await FrontWorld.open();
  sound = await world.replica(echo('sound'));
});
afterAll(() => world.end());

let held: HeldReplica;
let holding: FrontReplica;
beforeEach(async () => {
  world.draws = [];
  held = new HeldReplica();
  holding = await world.replica(held.listener);
});

const numbers = () => world.front.numbers('ep-1', 'blue');

describe('more requests than a deployment takes', () => {
  it('wait for as many again, and are refused beyond, each face in its way', async () => {
    world.apply([deployment('blue', [holding], { maxConcurrentPerReplica: 2 })]);
    const before = numbers();
    const answers = Array.from({ length: 4 }, () => world.score());
    await held.holds(2);
    await expect.poll(() => numbers().outstanding).toBe(4);
    const [azure, v2] = [await world.score(), await world.ask('/v2/models/m/infer', { method: 'POST', body: '{}' })];
    expect([azure.status, azure.headers.get('retry-after')]).toEqual([429, '1']);
    expect([v2.status, v2.headers.get('retry-after')]).toEqual([503, '1']);
    expect(world.front.outstandingOf(holding.id)).toBe(2);
    held.answerAll();
    await held.holds(2);
    held.answerAll();
    expect((await Promise.all(answers)).map(({ status }) => status)).toEqual([200, 200, 200, 200]);
    const { requests, rejected, errors, outstanding } = numbers();
    expect({ requests: requests - before.requests, rejected: rejected - before.rejected }).toEqual({
      requests: 6,
      rejected: 2,
    });
    expect([errors - before.errors, outstanding, world.front.outstandingOf(holding.id)]).toEqual([0, 0, 0]);
  });

  it('go to the replica with the fewest under way', async () => {
    const other = new HeldReplica();
    world.apply([deployment('blue', [holding, await world.replica(other.listener)])]);
    const answers = Array.from({ length: 4 }, () => world.score());
    await Promise.all([held.holds(2), other.holds(2)]);
    held.answerAll();
    await Promise.race(answers);
    await expect.poll(() => world.front.outstandingOf(holding.id)).toBe(0);
    answers.push(world.score(), world.score());
    await held.holds(2);
    held.answerAll();
    other.answerAll();
    await Promise.all(answers);
    expect([held.seen, other.seen]).toEqual([4, 2]);
  });

  it('leave nothing behind when their clients go', async () => {
    world.apply([deployment('blue', [holding], { maxConcurrentPerReplica: 1 })]);
    const leaving = new AbortController();
    const gone = [0, 1].map(() => world.ask('/score', { method: 'POST', body: '{}', signal: leaving.signal }));
    await held.holds(1);
    await expect.poll(() => numbers().outstanding).toBe(2);
    leaving.abort();
    await Promise.allSettled(gone);
    await expect.poll(() => numbers().outstanding).toBe(0);
    expect(world.front.outstandingOf(holding.id)).toBe(0);
  });
});

describe('a replica that is too slow', () => {
  it('is waited for as long as its deployment says', async () => {
    world.apply([deployment('blue', [holding], { timeoutMs: 50 })]);
    const { errors } = numbers();
    const azure = await world.score();
    expect([azure.status, azure.json]).toEqual([408, { message: expect.stringContaining('within 50 ms') as string }]);
    expect((await world.ask('/v2/models/m/infer', { method: 'POST', body: '{}' })).status).toBe(503);
    expect([numbers().errors - errors, numbers().outstanding]).toEqual([2, 0]);
  });
});

describe('a replica that is lost', () => {
  it('with a request that it had read costs that request, and it is not sent again', async () => {
    world.apply([deployment('blue', [holding, sound])]);
    const answers = [world.score(), world.score()];
    await held.holds(1);
    held.breakOff();
    const statuses = (await Promise.all(answers)).map(({ status, headers }) => [
      status,
      headers.get('ms-azureml-model-error-reason'),
    ]);
    expect(statuses.sort()).toEqual([
      [200, null],
      [424, 'it closed the connection'],
    ]);
    expect(held.seen).toBe(1);
  });

  it('in the middle of its answer breaks off the client’s', async () => {
    world.apply([deployment('blue', [holding])]);
    const answer = world.score();
    await held.holds(1);
    held.breakOff('half of ');
    await expect(answer).rejects.toThrow();
    expect(numbers().outstanding).toBe(0);
  });

  it('before it took a connection costs none: another is asked, and it is set aside and told of', async () => {
    const dead: FrontReplica = { id: 'dead', address: { socketPath: world.socketPath() }, state: 'ready' };
    world.apply([deployment('blue', [dead, sound])]);
    const answers = [];
    for (let count = 0; count < 10; count++) answers.push(await world.score());
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
    expect(world.sick).toEqual(['dead']);
    const large = await world.ask('/score', { method: 'POST', body: Buffer.alloc(300_000) });
    expect([large.status, large.bytes.length]).toEqual([200, 300_000]);
    world.apply([deployment('blue', [dead])]);
    const none = await world.score();
    expect(none.status).toBe(503);
    const told = JSON.stringify([none.json, ...none.headers]);
    expect(told, 'where replicas listen is nobody’s to know').not.toContain('.sock');
  });
});

describe('a replica that is to go', () => {
  it('finishes what it has, gets nothing new, and is rid of connections at rest', async () => {
    const sockets: Socket[] = [];
    const going = await world.replica((request, response) => {
      sockets.push(request.socket);
      held.listener(request, response);
    });
    world.apply([deployment('blue', [going])]);
    const [quick, slow] = [world.score(), world.score()];
    await held.holds(2);
    held.answer('quick');
    await quick;
    world.apply([deployment('blue', [{ ...going, state: 'draining' }, sound])]);
    await expect.poll(() => sockets.map(({ destroyed }) => destroyed)).toEqual([true, false]);
    expect((await world.score()).headers.get('answered-by')).toBe('sound');
    expect(world.front.outstandingOf(going.id)).toBe(1);
    world.apply([deployment('blue', [sound])]);
    expect(world.front.outstandingOf(going.id)).toBe(1);
    held.answer('slow');
    expect(Buffer.from((await slow).bytes).toString()).toBe('slow');
    await expect.poll(() => sockets.map(({ destroyed }) => destroyed)).toEqual([true, true]);
    expect(world.front.outstandingOf(going.id)).toBe(0);
  });
});

describe('a deployment without a replica', () => {
  it('is refused where none comes of itself', async () => {
    world.apply([deployment('blue', [])]);
    expect((await world.score()).status).toBe(503);
    expect(world.needed).toEqual([]);
  });

  it('calls for one where it rests, and answers whoever waited', async () => {
    world.apply([deployment('blue', [], {}, { firstRequestWaitMs: 20_000 })]);
    const answers = [world.score(), world.score()];
    await expect.poll(() => numbers().outstanding).toBe(2);
    expect(world.needed).toEqual(['ep-1/blue']);
    world.apply([deployment('blue', [sound], {}, { firstRequestWaitMs: 20_000 })]);
    expect((await Promise.all(answers)).map(({ status }) => status)).toEqual([200, 200]);
  });

  it('says so when none comes in time, and when it is deleted meanwhile', async () => {
    world.apply([deployment('blue', [], {}, { firstRequestWaitMs: 50 })]);
    const late = await world.score();
    expect([late.status, JSON.stringify(late.json)]).toEqual([503, expect.stringContaining('no replica was ready')]);
    world.apply([deployment('blue', [], {}, { firstRequestWaitMs: 20_000 })]);
    const waiting = world.score();
    await expect.poll(() => numbers().outstanding).toBe(1);
    world.apply([]);
    expect((await waiting).status).toBe(404);
  });
});

describe('a mirrored deployment', () => {
  it('never delays the live answer, and both answers are told of', async () => {
    const pairs: MirroredPair[] = [];
    world.front.onMirrored((pair) => pairs.push(pair));
    world.apply([deployment('blue', [sound]), deployment('green', [holding], { maxConcurrentPerReplica: 1 })], {
      mirror: { deployment: 'green', percent: 50 },
    });
    world.draws = [0, 0.6, 0, 0.4, 0, 0.4];
    const bodies = ['above the percentage', 'mirrored', 'no room for it'];
    const live = [];
    for (const body of bodies) {
      live.push(await world.score(body));
      if (body === 'mirrored') await held.holds(1);
    }
    await world.score('pinned', { 'azureml-model-deployment': 'blue' });
    await world.ask('/v2/health/ready');
    expect(live.map(({ json }) => json)).toEqual(bodies);
    held.answer('another answer');
    await expect.poll(() => pairs.length).toBe(1);
    expect(pairs[0]).toMatchObject({
      requestId: live[1]?.headers.get('x-request-id'),
      ...{ endpointId: 'ep-1', target: '/score' },
      live: { deployment: 'blue', status: 200, contentType: 'application/octet-stream' },
      mirrored: { deployment: 'green', status: 200 },
    });
    expect([pairs[0]?.live.body?.toString(), pairs[0]?.mirrored.body?.toString()]).toEqual([
      '"mirrored"',
      'another answer',
    ]);
    expect(held.seen).toBe(1);
    const counted = world.front.families().find(({ name }) => name === 'flotilla_endpoint_mirrored_total');
    const ofGreen = counted?.samples.filter(({ labels }) => labels?.['deployment'] === 'green');
    expect(Object.fromEntries(ofGreen?.map(({ labels, value }) => [labels?.['outcome'], value]) ?? [])).toEqual({
      ...{ answered: 1, failed: 0, dropped: 1 },
    });
  });
});

describe('a front with a certificate', () => {
  it('shows it, and another from the next connection on', async () => {
    const [first, second] = await Promise.all(
      ['first', 'second'].map((commonName) => testCertificate({ commonName, names: ['localhost'], usage: 'server' })),
    );
    if (!first || !second) throw new Error('two were made');
    const front = new Front(frontOptions);
    const { port, url } = await front.listen({ host: '127.0.0.1', port: 0, tls: pemOf(first) });
    const shown = (): Promise<{ readonly status: number | undefined; readonly fingerprint: string }> =>
      new Promise((resolve, reject) => {
        const options = { port, path: '/endpoints/main/fraud/score', agent: false, rejectUnauthorized: false };
        const asked = getOverTls(options, (response) => {
          const { fingerprint256 } = (response.socket as TLSSocket).getPeerCertificate();
          response.resume();
          resolve({ status: response.statusCode, fingerprint: fingerprint256 });
        });
        asked.once('error', reject);
      });
    expect(url).toBe(`https://127.0.0.1:${String(port)}`);
    const fingerprintOf = ({ certificate }: TestCertificate): string => new X509Certificate(certificate).fingerprint256;
    expect(await shown()).toEqual({ status: 404, fingerprint: fingerprintOf(first) });
    front.setTls(pemOf(second));
    expect(await shown()).toEqual({ status: 404, fingerprint: fingerprintOf(second) });
    expect(() => front.setTls({ cert: 'none', key: 'none' })).toThrow('cannot be used');
    await front.close(0);
  });
});

function pemOf({ certificate, privateKey }: TestCertificate): TlsFiles {
  return { cert: certificate, key: privateKey };
}

describe('a front that closes', () => {
  it('answers what is under way, tells clients to leave, and takes nobody new', async () => {
    const closing = await FrontWorld.open();
    const last = new HeldReplica();
    closing.apply([deployment('blue', [await closing.replica(last.listener)])], { auth: keyAuth('k') });
    const request = postRequest('/endpoints/main/fraud/score', { authorization: 'Bearer k' }, Buffer.from('{}'));
    const answer = new Promise<string>((resolve, reject) => {
      const connection = new HttpConnection(
        closing.address.port,
        { answered: ({ status, head }) => resolve(`${String(status)} ${head}`), failed: reject },
        true,
      );
      connection.send(request);
    });
    await last.holds(1);
    const closed = closing.front.close(20_000);
    const refused = await new Promise<string>((resolve) => {
      get(closing.address.url, () => resolve('answered')).once('error', (error) => resolve(error.message));
    });
    expect(refused).toContain('ECONNREFUSED');
    last.answer();
    expect(await answer).toMatch(/^200 [\s\S]*connection: close/);
    await closed;
    await sleep(0);
    await closing.end();
  });
});
