import { setImmediate as nextTurn } from 'node:timers/promises';
import { beforeEach, expect, it } from 'vitest';
import { CostlyAnswers } from '#cloud/rollout/costly-answers.js';

let now = 0;
let made = 0;
let answers: CostlyAnswers<number>;
beforeEach(() => {
  [now, made] = [0, 0];
  answers = new CostlyAnswers({ monotonic: () => now });
});
const taking = (ms: number) => async (): Promise<number> => {
  now += ms;
  return Promise.resolve(++made);
};

it('what takes little is made anew each time', async () => {
  expect([await answers.of('a', taking(5)), await answers.of('a', taking(5))]).toEqual([1, 2]);
});

it('what takes long is given again, for twenty times as long, and of another key is another', async () => {
  expect(await answers.of('a', taking(100))).toBe(1);
  now += 1_999;
  expect(await answers.of('a', taking(100))).toBe(1);
  expect(await answers.of('b', taking(100))).toBe(2);
});

it('then it is made anew beside an answer that does not wait for it', async () => {
  await answers.of('a', taking(100));
  now += 2_001;
  expect(await answers.of('a', taking(100))).toBe(1);
  await nextTurn();
  expect(await answers.of('a', taking(100))).toBe(2);
});

it('nobody is told what was so long ago', async () => {
  await answers.of('a', taking(100));
  now += 40_000;
  expect(await answers.of('a', taking(100))).toBe(2);
});

it('who asks at once is told the same; a failure is told, and asked again', async () => {
  const failing = (): Promise<number> => Promise.reject(new Error('no'));
  const both = await Promise.allSettled([answers.of('a', failing), answers.of('a', taking(1))]);
  expect(both.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  expect(await answers.of('a', taking(1))).toBe(1);
});
