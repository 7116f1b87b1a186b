import { get } from 'node:https';
import { spawn } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { repository } from '../support/world.js';

const main = join(repository, 'dist/cloud/quickstart/main.js');

/** Processes whose command line names the folder. */
async function processesIn(folder: string): Promise<string[]> {
  const found: string[] = [];
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const [command = '', environment = ''] = await Promise.all(
      ['cmdline', 'environ'].map((file) => readFile(`/proc/${pid}/${file}`, 'utf8').catch(() => '')),
    );
    if (command.includes(folder) || environment.includes(folder)) found.push(command.replaceAll('\0', ' '));
  }
  return found;
}

/** Its certificate is of an authority that only the installation's own programs know. */
function statusOf(url: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    get(url, { rejectUnauthorized: false }, (response) => {
      response.resume();
      resolve(response.statusCode);
    }).once('error', reject);
  });
}

describe('npm run quickstart', () => {
  /** The temporary folder of the run, so that what it leaves behind is seen. */
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'quickstart-test-'));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  const start = (...flags: readonly string[]) => {
    const child = spawn(process.execPath, [main, ...flags], {
      env: { PATH: process.env['PATH'] ?? '', HOME: folder, TMPDIR: folder },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    let seen: (() => void) | undefined;
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        output += text;
        seen?.();
      });
    }
    const exited = new Promise<string>((resolve) => {
      child.once('close', (code, signal) => resolve(signal ?? String(code)));
    });
    const saying = (pattern: RegExp): Promise<void> =>
      Promise.race([
        new Promise<void>((resolve) => {
          seen = () => {
            if (pattern.test(output)) resolve();
          };
          seen();
        }),
        exited.then((exit) => {
          throw new Error(`it ended with ${exit} before it said ${String(pattern)}\n${output}`);
        }),
      ]);
    return { child, exited, saying, output: () => output };
  };

  // With --once it ends by itself: `.ci/run` has it do so.
  it('does its job on other ports when one is taken, stays up until Ctrl-C, then leaves no process and no file', async () => {
    const holder = await occupy(8080);
    const { child, exited, saying, output } = start();
    try {
      await saying(/Ctrl-C/);
    } finally {
      await new Promise((resolve) => (holder === undefined ? resolve(undefined) : holder.close(resolve)));
    }
    expect(output()).toMatch(/Port 8080 is taken: the API uses \d+/);
    expect(output()).toMatch(/cam-1: it is a 3 \(\d+\.\d % sure, digits:1\)/);
    expect(output()).toMatch(/cam-2: it is a 3/);
    expect(output()).toMatch(/cam-1: digits:1 on \w+, \d+ requests/);
    const url = /https?:\/\/127\.0\.0\.1:\d+(?=\/docs)/.exec(output())?.[0] ?? '';
    expect(await statusOf(`${url}/readyz`)).toBe(200);
    expect((await processesIn(folder)).length).toBeGreaterThan(3);
    child.kill('SIGINT');
    expect(await exited, output()).toBe('0');
    expect(await processesIn(folder)).toEqual([]);
    expect(await readdir(folder)).toEqual([]);
  });

  it('is interrupted in the middle without leaving anything behind', async () => {
    const { child, exited, saying, output } = start();
    await saying(/Register a real model/);
    child.kill('SIGINT');
    expect(await exited, output()).toBe('130');
    expect(await processesIn(folder)).toEqual([]);
    expect(await readdir(folder)).toEqual([]);
  });
});

/** @returns undefined when somebody else holds it already, which does as well */
function occupy(port: number): Promise<Server | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(undefined));
    server.listen(port, '127.0.0.1', () => resolve(server));
  });
}
