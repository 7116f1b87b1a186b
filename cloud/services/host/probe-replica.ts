/** Asks a replica one question of health. */
import { request } from 'node:http';
import type { ReplicaAddress } from '../front/front-table.js';

const paths = { live: '/v2/health/live', ready: '/v2/health/ready' } as const;

/** @returns what is wrong; undefined: it is well. Never rejects */
export function probeReplica(
  address: ReplicaAddress,
  question: keyof typeof paths,
  timeoutMs: number,
): Promise<string | undefined> {
  return new Promise((resolve) => {
    const asked = request(
      { ...address, path: paths[question], agent: false, headers: { host: 'localhost' } },
      (answer) => {
        answer.resume();
        const { statusCode = 0 } = answer;
        resolve(statusCode >= 200 && statusCode < 400 ? undefined : `it answered ${String(statusCode)}`);
        clearTimeout(timer);
      },
    );
    const timer = setTimeout(() => asked.destroy(new Error(`no answer within ${String(timeoutMs)} ms`)), timeoutMs);
    asked.on('error', (error) => {
      clearTimeout(timer);
      resolve(error.message);
    });
    asked.end();
  });
}
