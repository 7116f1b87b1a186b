/** Runs commands in process, with a home of their own and everything they write kept. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Clock, systemClock } from '#shared/kernel/clock.js';
import type { CliIo } from '#cloud/cli/cli-io.js';
import { runCli } from '#cloud/cli/run-cli.js';
import type { Terminal } from '#cloud/cli/screen/terminal-screen.js';
import { sumOf } from '#cloud/cli/simulation-processes.js';
import { FlotillaClient } from '#cloud/client/flotilla-client.js';

export interface CliRun {
  readonly exit: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CliSetup {
  readonly url?: string;
  readonly token?: string;
  readonly workspace?: string;
  readonly authority?: string;
  readonly stdin?: string;
  readonly isTty?: boolean;
  readonly terminal?: Terminal;
  readonly clock?: Clock;
  readonly passphraseFile?: string;
  /** What a person at a terminal types, question by question. */
  readonly secrets?: string[];
  readonly interrupt?: AbortController;
  /** Gets all that was written so far to the stream that was written to. */
  readonly onText?: (text: string) => void;
}

export class CliHarness {
  private constructor(readonly home: string) {}

  static async make(): Promise<CliHarness> {
    return new CliHarness(await mkdtemp(join(tmpdir(), 'flotilla-cli-')));
  }

  /** With a home that is there and is not removed. */
  static at(home: string): CliHarness {
    return new CliHarness(home);
  }

  async run(args: readonly string[], setup: CliSetup = {}): Promise<CliRun> {
    let stdout = '';
    let stderr = '';
    const interrupt = setup.interrupt ?? new AbortController();
    const io: CliIo = {
      config: {
        home: this.home,
        url: setup.url,
        token: setup.token,
        workspace: setup.workspace,
        passphraseFile: setup.passphraseFile,
        authority: setup.authority,
      },
      askSecret: setup.secrets && ((question) => answerFrom(setup.secrets ?? [], question)),
      stdout: {
        write: (text) => {
          stdout += text;
          setup.onText?.(stdout);
        },
      },
      stderr: {
        write: (text) => {
          stderr += text;
          setup.onText?.(stderr);
        },
      },
      stdin: pieces(setup.stdin ?? ''),
      isTty: setup.isTty ?? false,
      terminal: setup.terminal,
      clock: setup.clock ?? systemClock,
      random: () => 0.5,
      version: '9.9.9',
      signal: interrupt.signal,
      openClient: (target) =>
        new FlotillaClient({
          ...target,
          userAgent: 'flotilla/test',
          clock: systemClock,
          random: () => 0.5,
          signal: interrupt.signal,
        }),
      runCloud: (cloudArgs, onReady) => {
        stderr += `cloud ${cloudArgs.join(' ')}\n`;
        onReady({
          version: '9.9.9',
          addresses: { http: 'http://a:1' },
          authority: 'a'.repeat(64),
          ownerToken: 'first-token',
        });
        return Promise.resolve();
      },
      runServe: (request, events) => {
        stderr += `serve ${JSON.stringify(request)}\n`;
        events.onReady({
          version: '9.9.9',
          address: '127.0.0.1',
          port: 1,
          url: 'http://a:1',
          grpc: undefined,
          mode: 'open',
          modules: [],
        });
        return Promise.resolve();
      },
      runSimulation: (orders, events) => {
        stderr += `simulate ${JSON.stringify(orders)}\n`;
        const counts = { ...noCounts, devices: 7, enrolled: 7 };
        events.onCounts(counts);
        return Promise.resolve(counts);
      },
      describeServe: (request) => Promise.resolve(request),
      printCloudConfig: (cloudArgs) => Promise.resolve(`config ${cloudArgs.join(' ')}\n`),
    };
    const exit = await runCli(args, io);
    return { exit, stdout, stderr };
  }

  async remove(): Promise<void> {
    await rm(this.home, { recursive: true, force: true });
  }
}

const noCounts = sumOf([]);

function answerFrom(secrets: string[], question: string): Promise<string> {
  const answer = secrets.shift();
  return answer === undefined ? Promise.reject(new Error(`nobody answers "${question}"`)) : Promise.resolve(answer);
}

async function* pieces(text: string): AsyncGenerator<Uint8Array> {
  yield await Promise.resolve(Buffer.from(text));
}
