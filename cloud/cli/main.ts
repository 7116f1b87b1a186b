#!/usr/bin/env node
/** The `flotilla` command: the one place that wires it to the process. */
import { systemClock } from '#shared/kernel/clock.js';
import { FlotillaClient } from '#cloud/client/flotilla-client.js';
import type { CliIo } from './cli-io.js';
import { loadCliConfig } from './cli-config.js';
import { askSecret } from './ask-secret.js';
import { interruptedExit, runCli } from './run-cli.js';
import type { Terminal } from './screen/terminal-screen.js';
import { readVersion } from './version.js';

const interrupted = new AbortController();
const args = process.argv.slice(2);

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    // Who asks twice does not want to wait for a clean end.
    if (interrupted.signal.aborted) process.exit(interruptedExit);
    interrupted.abort();
  });
}
// A reader that closed its end (`| head`) has what it wanted.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

const version = await readVersion();
const config = loadCliConfig(process.env);
const random = (): number => Math.random();

const io: CliIo = {
  config,
  stdout: process.stdout,
  stderr: process.stderr,
  stdin: process.stdin,
  askSecret: process.stdin.isTTY && process.stderr.isTTY ? (question) => askSecret(question) : undefined,
  // Undefined, not false, where it is none.
  isTty: Boolean(process.stderr.isTTY),
  terminal: process.stdout.isTTY && config.dumb !== true ? terminalOf(process.stdout) : undefined,
  clock: systemClock,
  random,
  version,
  signal: interrupted.signal,
  openClient: ({ url, token, workspace, authority }) =>
    new FlotillaClient({
      url,
      token,
      workspace,
      authority,
      userAgent: `flotilla/${version}`,
      clock: systemClock,
      random,
      signal: interrupted.signal,
    }),
  // The control plane's libraries are loaded by the command that runs it, not by every command.
  runCloud: async (cloudArgs, onReady) => {
    const { runCloud } = await import('./cloud-process.js');
    await runCloud(cloudArgs, { version, signal: interrupted.signal, pretty: Boolean(process.stderr.isTTY), onReady });
  },
  runServe: async (request, events) => {
    const { runServe } = await import('./serve-process.js');
    await runServe(request, events, { version, clock: systemClock, random, signal: interrupted.signal });
  },
  describeServe: async (request) => {
    const { describeServe } = await import('./serve-process.js');
    return describeServe(request);
  },
  runSimulation: async (orders, events, signal) => {
    const { runSimulation } = await import('./simulation-processes.js');
    return runSimulation(orders, events, signal);
  },
  printCloudConfig: async (cloudArgs) => {
    const { printConfig, readCloudArguments } = await import('#cloud/config.js');
    return printConfig((await readCloudArguments(cloudArgs)).config);
  },
};

function terminalOf(stdout: typeof process.stdout): Terminal {
  const on = (emitter: NodeJS.EventEmitter, event: string, listener: () => void): (() => void) => {
    emitter.on(event, listener);
    return () => emitter.off(event, listener);
  };
  return {
    colors: config.colorless !== true,
    // A terminal that does not say how large it is has no size, not a wrong one.
    size: () => ({ columns: stdout.columns || 80, rows: stdout.rows || 24 }),
    write: (text) => stdout.write(text),
    onResize: (listener) => on(stdout, 'resize', listener),
    onExit: (listener) => on(process, 'exit', listener),
  };
}

process.exitCode = await runCli(args, io);
