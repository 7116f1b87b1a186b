import { execFileSync, fork, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import * as http from 'node:http';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { bindHandle, type ListenHandle } from '#shared/supervisor/listen-handle.js';
import type { ScoringHostProcess } from '#shared/supervisor/scoring-host-process.js';
import { digits, digitsFolder, post, repository, Scoring, scoringHostEntry } from '#test/support/scoring-harness.js';

const scoring = new Scoring();
afterEach(() => scoring.end());

const config = { labels: {}, maxBodyBytes: 1 << 20 };
const body = await readFile(join(digitsFolder, 'fixtures/digit.json'));

/** Requests on kept connections until told to stop; a reset or anything but 200 is a failure. No retries. */
class Load {
  readonly statuses = new Map<string, number>();
  private stopped = false;
  private readonly clients: Promise<void>[];

  constructor(port: number, clients: number, pauseMs: () => number) {
    this.clients = Array.from({ length: clients }, () => this.client(port, pauseMs));
  }

  get failed(): [string, number][] {
    return [...this.statuses].filter(([status]) => !/^200 [12]$/.test(status));
  }

  count(prefix: string): number {
    return [...this.statuses].reduce((sum, [status, count]) => sum + (status.startsWith(prefix) ? count : 0), 0);
  }

  async stop(): Promise<void> {
    this.stopped = true;
    await Promise.all(this.clients);
  }

  private async client(port: number, pauseMs: () => number): Promise<void> {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    while (!this.stopped) {
      const status = await request(port, agent);
      this.statuses.set(status, (this.statuses.get(status) ?? 0) + 1);
      const pause = pauseMs();
      if (pause > 0) await new Promise((resolve) => setTimeout(resolve, pause));
    }
    agent.destroy();
  }
}

/** `200 <version>`, or what went wrong. */
function request(port: number, agent: http.Agent): Promise<string> {
  return new Promise((resolve) => {
    const headers = { 'content-type': 'application/json', 'content-length': body.length };
    const sent = http.request(
      { agent, port, host: '127.0.0.1', method: 'POST', path: '/v2/models/digits/infer', headers },
      (response) => {
        response.on('error', (error) => resolve(error.message));
        response.resume().on('end', () => {
          resolve(`${String(response.statusCode)} ${String(response.headers['flotilla-version'])}`);
        });
      },
    );
    sent.on('error', (error) => resolve(error.message));
    sent.end(body);
  });
}

async function successor(handle: ListenHandle, version: number): Promise<ScoringHostProcess> {
  const host = scoring.spawn();
  const loaded = await host.load({ ...config, modules: [{ ...digits, version }] });
  expect(loaded.ok).toBe(true);
  await host.listen(handle.handle);
  return host;
}

const hasWrk = ((): boolean => {
  try {
    execFileSync('which', ['wrk'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
})();

describe('replacing a scoring host under load', () => {
  it('fails no request of busy and of pausing clients, over several swaps', async () => {
    const handle = scoring.bind();
    let host = await successor(handle, 1);
    const busy = new Load(handle.port, 12, () => 0);
    const pausing = new Load(handle.port, 32, () => Math.random() * 60);
    let drainedRequests = 0;
    for (let swap = 1; swap <= 5; swap++) {
      const next = await successor(handle, (swap % 2) + 1);
      const last = await host.drain(20_000);
      drainedRequests += last.modules[0]?.requests ?? 0;
      expect(await host.exited).toMatchObject({ code: 0, signal: null });
      host = next;
    }
    await Promise.all([busy.stop(), pausing.stop()]);
    const last = await host.drain(20_000);
    drainedRequests += last.modules[0]?.requests ?? 0;
    expect(busy.failed).toEqual([]);
    expect(pausing.failed).toEqual([]);
    expect(busy.count('200 1')).toBeGreaterThan(0);
    expect(busy.count('200 2')).toBeGreaterThan(0);
    // Every answer was counted by the host that gave it, and the counts came back with its end.
    expect(drainedRequests).toBe(busy.count('200') + pausing.count('200'));
  });

  it.runIf(hasWrk)('fails no request of wrk', async () => {
    const handle = scoring.bind();
    let host = await successor(handle, 1);
    const url = `http://127.0.0.1:${String(handle.port)}/v2/health/live`;
    const wrk = spawn('wrk', ['-t1', '-c32', '-d4s', url], { stdio: ['ignore', 'pipe', 'inherit'] });
    let output = '';
    wrk.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
    const ended = new Promise<number | null>((resolve) => wrk.once('exit', resolve));
    for (let swap = 0; swap < 3; swap++) {
      const next = await successor(handle, 2);
      await host.drain(20_000);
      host = next;
    }
    expect(await ended).toBe(0);
    expect(output).toContain('requests in');
    expect(output).not.toMatch(/Socket errors|Non-2xx/);
  });

  it('serves from the backlog what came while a killed host had no successor yet', async () => {
    const handle = scoring.bind();
    const first = await successor(handle, 1);
    expect((await post(`http://127.0.0.1:${String(handle.port)}/score`, { image: [] })).status).toBe(400);
    await first.kill();
    expect(await first.exited).toMatchObject({ code: null, signal: 'SIGKILL' });
    const waiting = Array.from({ length: 8 }, () => request(handle.port, new http.Agent()));
    await successor(handle, 2);
    expect(await Promise.all(waiting)).toEqual(Array.from({ length: 8 }, () => '200 2'));
  });
});

describe('a port', () => {
  it.runIf(process.platform === 'linux')(
    'that another process listens on after we bound it is reported as taken',
    async () => {
      // Until one of them listens, two sockets may be bound to one port.
      const ours = scoring.bind();
      const theirs = scoring.bind(ours.port);
      await successor(theirs, 1);
      const host = scoring.spawn();
      await host.load({ ...config, modules: [] });
      await expect(host.listen(ours.handle)).rejects.toThrowError(expect.objectContaining({ code: 'port.taken' }));
    },
  );
});

describe('a host whose owner is gone', () => {
  it('frees the port and ends', async () => {
    const handle = scoring.bind();
    const owner = fork(
      join(repository, 'test/support/abandoning-owner.mjs'),
      [String(handle.port), scoringHostEntry, digitsFolder],
      {
        execArgv: [],
      },
    );
    handle.close();
    const hostPid = await new Promise<number>((resolve) => owner.once('message', (pid) => resolve(pid as number)));
    expect((await fetch(`http://127.0.0.1:${String(handle.port)}/`)).status).toBe(200);
    const gone = new Promise((resolve) => owner.once('exit', resolve));
    owner.kill('SIGKILL');
    await gone;
    await expect.poll(() => isAlive(hostPid), { timeout: 20_000 }).toBe(false);
    bindHandle('127.0.0.1', handle.port).close();
  });
});

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !readFileSync(`/proc/${String(pid)}/stat`, 'utf8').includes(') Z ');
  } catch {
    return false;
  }
}
