/** Proves that onnxruntime can load a model, in a child process that may crash or hang without harm. */
import { fork } from 'node:child_process';
import { basename } from 'node:path';
import { AppError } from '#shared/kernel/errors.js';
import type { LoadVerdict } from './protocol.js';

export interface LoadCheckOptions {
  /** The built `load-check/main.js`. */
  readonly entry: string;
  readonly timeoutMs: number;
}

/** The child's last words are kept for the error message; more than this is dropped. */
const maxOutputBytes = 16 * 1024;

/** @throws AppError `model.unloadable` with onnxruntime's own message */
export async function proveLoadable(
  path: string,
  options: LoadCheckOptions,
  signal: AbortSignal,
): Promise<Extract<LoadVerdict, { loads: true }>> {
  signal.throwIfAborted();
  const child = fork(options.entry, [path], {
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    execArgv: [],
    // Nothing of ours: a model has no business with our environment.
    env: { ORT_DISABLE_TELEMETRY: '1', PATH: '/usr/bin:/bin' },
  });
  let output = '';
  const keep = (chunk: Buffer): void => {
    if (output.length < maxOutputBytes) output += chunk.toString('utf8');
  };
  child.stdout?.on('data', keep);
  child.stderr?.on('data', keep);

  let verdict: LoadVerdict | undefined;
  let timedOut = false;
  child.on('message', (message) => {
    verdict = message as LoadVerdict;
  });
  const timer = setTimeout(() => {
    timedOut = true;
    child.kill('SIGKILL');
  }, options.timeoutMs);
  const abort = (): void => {
    child.kill('SIGKILL');
  };
  signal.addEventListener('abort', abort, { once: true });
  try {
    const ending = await new Promise<string>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code, killedBy) => resolve(killedBy ?? `exit code ${String(code)}`));
    });
    signal.throwIfAborted();
    const name = basename(path);
    if (verdict?.loads === true) return verdict;
    if (verdict) {
      const reason = verdict.reason.replaceAll(path, name);
      const what = verdict.by === 'onnxruntime' ? `onnxruntime cannot load ${name}` : `${name} cannot be served`;
      throw new AppError('model.unloadable', `${what}: ${reason}`);
    }
    if (timedOut) {
      throw new AppError(
        'model.unloadable',
        `onnxruntime did not load ${name} within ${String(options.timeoutMs / 1000)} s; limits.loadCheckSeconds allows more`,
      );
    }
    throw new AppError(
      'model.unloadable',
      `onnxruntime crashed while it loaded ${name} (${ending})${output.trim() === '' ? '' : `: ${output.trim().slice(-1000)}`}`,
    );
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', abort);
  }
}
