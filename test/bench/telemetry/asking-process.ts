/** Asks what `flotilla rollout show`, `explain` and `watch` ask, one after another, and says how long answers took. */
import { setTimeout as sleep } from 'node:timers/promises';
import { LatencyHistogram } from '../latency-histogram.js';
import { answerLines } from '../line-process.js';

interface Question {
  readonly url: string;
  readonly token: string;
  readonly paths: readonly string[];
  /** At least, of each path; and no longer than so many seconds. */
  readonly rounds: number;
  readonly mostSeconds: number;
}

const pauseMs = 20;

await answerLines(async ({ url, token, paths, rounds, mostSeconds }: Question) => {
  const times = new Map(paths.map((path) => [path, new LatencyHistogram()]));
  const until = performance.now() + mostSeconds * 1000;
  for (let round = 0; round < rounds && performance.now() < until; round++) {
    for (const path of paths) {
      const began = performance.now();
      const answer = await fetch(`${url}${path}`, { headers: { authorization: `Bearer ${token}` } });
      const text = await answer.text();
      if (!answer.ok) throw new Error(`${path}: ${String(answer.status)} ${text}`);
      times.get(path)?.add(performance.now() - began);
      await sleep(pauseMs);
    }
  }
  return { times: [...times].map(([path, histogram]) => ({ path, encoded: histogram.encode() })) };
});
