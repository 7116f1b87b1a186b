/**
 * What a process takes, looked at now and then: ends one that is over its memory where the kernel does not,
 * and one that has used up its file descriptors, which would live on without being of use.
 */
import { readdirSync, readFileSync } from 'node:fs';
import type { Verdict } from './exit-cause.js';

export interface WatchedLimits {
  /** Undefined: the kernel keeps it. */
  readonly memoryBytes: number | undefined;
  readonly openFiles: number | undefined;
}

export interface Usage {
  /** Resident, of the process and its children; undefined: unknown. */
  readonly memoryBytes: number | undefined;
  readonly openFiles: number | undefined;
}

/** So many looks in a row must find it at its limit of descriptors: it may be about to close some. */
const patience = 3;

/** Pure. */
export class UsageJudge {
  private atLimit = 0;

  constructor(private readonly limits: WatchedLimits) {}

  judge(usage: Usage): Verdict | undefined {
    const { limits } = this;
    if (limits.memoryBytes !== undefined && (usage.memoryBytes ?? 0) > limits.memoryBytes) {
      const numbers = { memoryBytes: usage.memoryBytes ?? 0, memoryLimitBytes: limits.memoryBytes };
      return { kind: 'memory', numbers };
    }
    const full = limits.openFiles !== undefined && (usage.openFiles ?? 0) >= limits.openFiles - 1;
    this.atLimit = full ? this.atLimit + 1 : 0;
    if (this.atLimit < patience) return undefined;
    return { kind: 'files', numbers: { openFiles: usage.openFiles ?? 0, openFilesLimit: limits.openFiles ?? 0 } };
  }
}

const everyMs = 500;

/** @returns how to stop */
export function watchResources(pid: number, limits: WatchedLimits, condemn: (verdict: Verdict) => void): () => void {
  if (process.platform !== 'linux' || (limits.memoryBytes === undefined && limits.openFiles === undefined))
    return () => undefined;
  const judge = new UsageJudge(limits);
  const timer = setInterval(() => {
    const verdict = judge.judge({
      memoryBytes: limits.memoryBytes === undefined ? undefined : residentBytes(pid),
      openFiles: limits.openFiles === undefined ? undefined : openFilesOf(pid),
    });
    if (verdict !== undefined) condemn(verdict);
  }, everyMs);
  timer.unref();
  return () => clearInterval(timer);
}

/** Of the process and those that its first thread started, as far as they can be seen. */
function residentBytes(pid: number, depth = 0): number {
  const children = textOf(`/proc/${String(pid)}/task/${String(pid)}/children`).split(' ');
  const below = depth > 8 ? [] : children.filter((id) => /^[1-9]\d*$/.test(id)).slice(0, 256);
  return (
    residentIn(textOf(`/proc/${String(pid)}/status`)) +
    below.reduce((sum, id) => sum + residentBytes(Number(id), depth + 1), 0)
  );
}

/** @param status the text of `/proc/<pid>/status` */
export function residentIn(status: string): number {
  const [, kilobytes] = /^VmRSS:\s+(\d{1,12}) kB$/m.exec(status) ?? [];
  return kilobytes === undefined ? 0 : Number(kilobytes) * 1024;
}

function openFilesOf(pid: number): number | undefined {
  try {
    return readdirSync(`/proc/${String(pid)}/fd`).length;
  } catch {
    return undefined;
  }
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
