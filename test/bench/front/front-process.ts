/** A front in a process of its own, before the sockets that it is told. */
import { randomUUID } from 'node:crypto';
import { pino } from 'pino';
import { systemClock } from '#shared/kernel/clock.js';
import { secretDigest } from '#shared/scoring/access/bearer.js';
import { Front } from '#cloud/services/front/front.js';
import { answerLines } from '../line-process.js';

export interface FrontQuestion {
  readonly sockets: readonly string[];
  readonly key: string;
  /** False: Node reads every request. */
  readonly plain: boolean;
}

const front = new Front({
  clock: systemClock,
  newId: randomUUID,
  random: Math.random,
  log: pino({ level: 'error' }),
  maxBodyBytes: 64 * 1024 * 1024,
  names: { hostNames: [], addresses: [] },
});

await answerLines<FrontQuestion>(async ({ sockets, key, plain }) => {
  const replicas = sockets.map((socketPath) => ({
    ...{ id: socketPath, address: { socketPath } },
    state: 'ready' as const,
  }));
  const request = { timeoutMs: 5000, maxConcurrentPerReplica: 64 };
  front.apply({
    endpoints: [
      {
        ...{ id: 'e', workspace: 'main', name: 'digits', traffic: { blue: 100 } },
        auth: { mode: 'key', keyDigests: [secretDigest(key).toString('hex')] },
        deployments: [{ name: 'blue', revision: 1, request, replicas }],
      },
    ],
  });
  return front.listen({ host: '127.0.0.1', port: 0, plain });
});
await front.close(0);
