/** The built control plane as a process of its own, started as a person does, with `flotilla cloud`. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import * as z from 'zod';

const readySchema = z.object({ addresses: z.object({ http: z.url() }), ownerToken: z.string() });

export class CloudProcess {
  private constructor(
    private readonly child: ChildProcess,
    private readonly folder: string,
    readonly url: string,
    readonly ownerToken: string,
  ) {}

  static async start(): Promise<CloudProcess> {
    const folder = await mkdtemp(join(tmpdir(), 'flotilla-cloud-'));
    const ports = ['http', 'gateway', 'broker'].flatMap((name) => [`--${name}-port`, '0']);
    const child = spawn(
      process.execPath,
      [
        resolve('dist/cloud/cli/main.js'),
        'cloud',
        '--data-dir',
        join(folder, 'data'),
        '--output',
        'json',
        '--http-tls',
        'off',
        ...ports,
      ],
      // No loader of the test runner goes along.
      { stdio: ['ignore', 'pipe', 'pipe'], env: { PATH: process.env['PATH'], HOME: folder } },
    );
    let log = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      log += text;
    });
    const line = await new Promise<string>((done, fail) => {
      let text = '';
      child.stdout.setEncoding('utf8').on('data', (piece: string) => {
        text += piece;
        if (text.includes('\n')) done(text);
      });
      child.once('exit', (code) => fail(new Error(`flotilla cloud ended with ${String(code)}: ${log}`)));
    });
    const ready = readySchema.parse(JSON.parse(line));
    return new CloudProcess(child, folder, ready.addresses.http, ready.ownerToken);
  }

  /** As Ctrl-C does; one that will not end is killed, so that it does not outlive the test. @returns the exit code */
  async stop(): Promise<number | null> {
    const exited = new Promise<number | null>((done) => this.child.once('exit', done));
    this.child.kill('SIGINT');
    const patience = setTimeout(() => this.child.kill('SIGKILL'), 30_000);
    const code = await exited;
    clearTimeout(patience);
    await rm(this.folder, { recursive: true, force: true });
    return code;
  }
}
