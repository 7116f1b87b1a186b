/** What the front tells of the images that answer, and of answers to mirrored requests beside the live ones. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '#shared/kernel/clock.js';
import type { Comparison } from '#shared/protocol/comparison.js';
import { encodeInferResponse } from '#shared/scoring/codec/infer-response.js';
import { jsonLengthHeader } from '#shared/scoring/codec/json-length.js';
import type { FrontImage, FrontReplica } from '#cloud/services/front/front-table.js';
import { MirrorAgreement } from '#cloud/services/host/telemetry/mirror-agreement.js';
import { deployment, FrontWorld } from '#test/support/front-world.js';

const image = (version: number): FrontImage => ({ name: 'digits', version, digest: `sha256:${String(version)}` });
let world: FrontWorld;
let rule: Comparison | undefined;
let agreement: MirrorAgreement;
beforeAll(async () => {
  world = await FrontWorld.open();
  agreement = new MirrorAgreement({ clock: systemClock, rule: () => rule });
  world.front.onMirrored((pair) => agreement.take(pair));
  world.front.onMirrorDropped((drop) => agreement.dropped(drop));
});
afterAll(() => world.end());
beforeEach(() => {
  world.front.takeNumbers();
  agreement.takeCounts();
  rule = undefined;
});

/** Answers with the next of these, and with the last again and again. */
async function answering(of: FrontImage, ...answers: readonly (number | object | Uint8Array)[]): Promise<FrontReplica> {
  const left = [...answers];
  const replica = await world.replica((request, response) => {
    request.resume();
    request.once('end', () => {
      const answer = left.length > 1 ? left.shift() : left[0];
      if (typeof answer === 'number') response.writeHead(answer).end('{}');
      else if (answer instanceof Uint8Array) {
        const length = new TextDecoder().decode(answer).indexOf('}]}') + 3;
        response.writeHead(200, { [jsonLengthHeader]: String(length) }).end(answer);
      } else response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
    });
  });
  return { ...replica, image: of };
}

const numbers = () =>
  world.front.takeNumbers().map(({ deployment: name, image: { version }, requests, errors, latencyMs }) => {
    return { name, version, requests, errors, answered: latencyMs.count };
  });

describe('numbers of an image', () => {
  it('are of those that answered, each by itself while one replaces the other', async () => {
    const [old, next] = [await answering(image(1), { y: 1 }), await answering(image(2), 500)];
    world.apply([deployment('blue', [old, next], {}, { image: image(2) })]);
    for (let asked = 0; asked < 4; asked++) await world.score();
    expect(numbers()).toEqual([
      { name: 'blue', version: 1, requests: 2, errors: {}, answered: 2 },
      { name: 'blue', version: 2, requests: 2, errors: { 'score.failed': 2 }, answered: 0 },
    ]);
    expect(numbers()).toEqual([]);
  });

  it('name failures as devices do: by what the replica refused, and by what became of it', async () => {
    const replica = await answering(image(1), 400, 429, 504, 418, 503);
    const dead: FrontReplica = { ...replica, id: 'dead', address: { socketPath: world.socketPath() } };
    world.apply([deployment('blue', [replica])]);
    for (let asked = 0; asked < 4; asked++) await world.score();
    world.apply([deployment('blue', [dead])]);
    await world.score();
    world.apply([deployment('blue', [], {}, { image: image(1) })]);
    await world.score();
    await world.ask('/v2/health/ready');
    expect(numbers()).toEqual([
      {
        ...{ name: 'blue', version: 1, requests: 6, answered: 0 },
        errors: {
          ...{ 'score.invalid-input': 1, 'score.overloaded': 1, 'score.timeout': 1, 'request.invalid': 1 },
          'score.not-ready': 2,
        },
      },
    ]);
  });

  it('have the last requests of a deployment that is gone', async () => {
    world.apply([deployment('blue', [await answering(image(1), { y: 1 })])]);
    await world.score();
    world.apply([]);
    expect(numbers()).toMatchObject([{ name: 'blue', requests: 1 }]);
  });
});

describe('answers to mirrored requests', () => {
  async function compared(live: object | number | Uint8Array, mirrored: object | number | Uint8Array, path = '/score') {
    const [blue, green] = [await answering(image(1), live), await answering(image(2), mirrored)];
    const mirror = { deployment: 'green', percent: 50 };
    world.apply([deployment('blue', [blue]), deployment('green', [green])], { traffic: { blue: 100 }, mirror });
    await world.ask(path, { method: 'POST', body: '{}' });
    for (;;) {
      const [first] = agreement.takeCounts();
      if (first === undefined) await systemClock.sleep(2);
      else {
        expect([first.live, first.mirrored]).toMatchObject([
          { deployment: 'blue', image: { version: 1 } },
          { deployment: 'green', image: { version: 2 } },
        ]);
        const { compared: both, agreed, uncompared, liveErrors, shadowErrors, dropped } = first.counts;
        return { both, agreed, uncompared, liveErrors, shadowErrors, dropped };
      }
    }
  }
  const none = { both: 0, agreed: 0, uncompared: 0, liveErrors: 0, shadowErrors: 0, dropped: 0 };

  it('agree within the tolerance, though whole numbers of one side look like no floats', async () => {
    expect(await compared({ p: [1, 0] }, { p: [0.99995, 0.00001] })).toEqual({ ...none, both: 1, agreed: 1 });
    expect(await compared({ p: [0.6, 0.4] }, { p: [0.7, 0.3] })).toEqual({ ...none, both: 1 });
    expect(await compared({ label: 'a' }, { label: 'b' })).toEqual({ ...none, both: 1 });
  });

  it('are compared by the rule of the mirror, in the binary form of V2 too', async () => {
    rule = { kind: 'top-1' };
    expect(await compared({ p: [0.6, 0.4] }, { p: [0.7, 0.3] })).toEqual({ ...none, both: 1, agreed: 1 });
    const binary = (...values: number[]): Uint8Array =>
      encodeInferResponse({
        ...{ modelName: 'm', modelVersion: '1', id: undefined },
        outputs: [
          { binary: true, tensor: { name: 'p', datatype: 'FP32', shape: [1, 2], data: new Float32Array(values) } },
        ],
      }).body;
    const infer = '/v2/models/m/infer';
    expect(await compared(binary(0.6, 0.4), binary(0.9, 0.1), infer)).toEqual({ ...none, both: 1, agreed: 1 });
    expect(await compared(binary(0.6, 0.4), binary(0.1, 0.9), infer)).toEqual({ ...none, both: 1 });
  });

  it('are not compared where one side failed, was full, or says what nobody can read', async () => {
    expect(await compared({ p: 1 }, 500)).toEqual({ ...none, shadowErrors: 1 });
    expect(await compared({ p: 1 }, 429)).toEqual({ ...none, dropped: 1 });
    expect(await compared(500, { p: 1 })).toEqual({ ...none, liveErrors: 1 });
    expect(await compared({ p: 1 }, Buffer.from('no JSON'))).toEqual({ ...none, uncompared: 1 });
  });

  it('are counted as dropped where no replica is free for a copy, or too many wait', async () => {
    const blue = await answering(image(1), { p: [1] });
    const mirror = { deployment: 'green', percent: 50 };
    const of = [deployment('blue', [blue]), deployment('green', [], {}, { image: image(2) })];
    world.apply(of, { traffic: { blue: 100 }, mirror });
    await world.score();
    await systemClock.sleep(20);
    expect(agreement.takeCounts()).toMatchObject([{ mirrored: { image: { version: 2 } }, counts: { dropped: 1 } }]);

    const seen = { contentType: undefined, jsonLength: undefined, status: 200, latencyMs: 1, body: Buffer.from('[1]') };
    const live = { ...seen, deployment: 'blue', image: image(1) };
    const pair = { requestId: '', endpointId: 'ep-1', target: '/score', live, mirrored: { ...live, image: image(2) } };
    for (let waiting = 0; waiting < 100; waiting++) agreement.take(pair);
    expect(agreement.takeCounts()[0]?.counts).toMatchObject({ dropped: 36, compared: 0 });
  });
});
