/** The load client, in a process of its own. Lines of JSON in and out. */
import { readFileSync } from 'node:fs';
import { answerLines } from '../line-process.js';
import { closedLoad, openLoad, type LoadResult } from '../load.js';

export interface LoadQuestion {
  readonly port: number;
  /** File with the bytes of the request. */
  readonly request: string;
  readonly seconds: number;
  readonly load: { readonly connections: number } | { readonly perSecond: number };
}

export interface LoadAnswer extends LoadResult {
  /** Share of its core that the client itself used: near 1 it is what was measured. */
  readonly clientShare: number;
}

await answerLines<LoadQuestion>(async ({ port, request, seconds, load }): Promise<LoadAnswer> => {
  const target = { port, request: readFileSync(request) };
  const before = process.cpuUsage();
  const result =
    'connections' in load
      ? await closedLoad(target, load.connections, seconds)
      : await openLoad(target, load.perSecond, seconds);
  const { user, system } = process.cpuUsage(before);
  return { ...result, clientShare: (user + system) / 1e6 / result.seconds };
});
