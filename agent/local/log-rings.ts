/**
 * The last lines of the agent and of each module, on disk and bounded: two files each, and the older
 * one goes when the newer one is full. A line that cannot be written is lost, never the module.
 */
import { appendFileSync, existsSync, readdirSync, readFileSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type Clock, toInstant } from '#shared/kernel/clock.js';
import { AppError } from '#shared/kernel/errors.js';

const maxBytes = 512 * 1024;
/** Not a name that a module can have. */
const agentRing = '_agent';

export interface LogPart {
  readonly lines: string[];
  /** Lines since this process started: where the next part begins. */
  readonly next: number;
  /** Lines of this part that are not there any more, or more than were asked for. */
  readonly missed: number;
}

export class LogRings {
  private readonly sizes = new Map<string, number>();
  /** Lines of each ring since this process started. */
  private readonly counts = new Map<string, number>();
  private readonly waiting = new Set<() => void>();

  constructor(
    private readonly folder: string,
    private readonly clock: Clock,
  ) {}

  agent(line: string): void {
    this.append(agentRing, line.trimEnd());
  }

  module(name: string, line: string): void {
    this.append(name, `${toInstant(this.clock.now())} ${line.trimEnd()}`);
  }

  /**
   * The last lines, oldest first.
   *
   * @param module of the agent itself when undefined
   * @throws AppError `module.not-found` when this device has no log of it
   */
  read(module: string | undefined, lines: number): string[] {
    const path = this.pathOf(module ?? agentRing);
    if (module !== undefined && !existsSync(path)) {
      const known = this.modules();
      throw new AppError(
        'module.not-found',
        `this device has no log of a module ${module}; ${known.length > 0 ? `it has ${known.join(', ')}` : 'it has had no module yet'}`,
      );
    }
    const text = [`${path}.1`, path].map((file) => (existsSync(file) ? readFileSync(file, 'utf8') : '')).join('');
    return text
      .split('\n')
      .filter((line) => line !== '')
      .slice(-lines);
  }

  /** How many lines came since this process started. */
  count(module: string | undefined): number {
    return this.counts.get(module ?? agentRing) ?? 0;
  }

  /**
   * The lines after the first `after` since this process started, oldest first; the newest where they are more
   * than `most`. Waits for one where there is none, until `until` is aborted.
   */
  async follow(module: string | undefined, after: number, most: number, until: AbortSignal): Promise<LogPart> {
    while (this.count(module) <= after && !until.aborted) await this.nextLine(until);
    const next = this.count(module);
    const fresh = Math.max(0, next - after);
    const lines = fresh === 0 ? [] : this.read(module, Math.min(fresh, most));
    return { lines, next, missed: fresh - lines.length };
  }

  private nextLine(until: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        this.waiting.delete(wake);
        until.removeEventListener('abort', wake);
        resolve();
      };
      this.waiting.add(wake);
      until.addEventListener('abort', wake, { once: true });
    });
  }

  private modules(): string[] {
    return readdirSync(this.folder)
      .filter((name) => name.endsWith('.log') && name !== `${agentRing}.log`)
      .map((name) => name.slice(0, -'.log'.length))
      .sort();
  }

  private append(ring: string, line: string): void {
    const path = this.pathOf(ring);
    const text = `${line}\n`;
    try {
      const size = this.sizes.get(ring) ?? (existsSync(path) ? statSync(path).size : 0);
      if (size + text.length > maxBytes && size > 0) {
        renameSync(path, `${path}.1`);
        this.sizes.set(ring, 0);
      }
      appendFileSync(path, text);
      this.sizes.set(ring, (this.sizes.get(ring) ?? size) + Buffer.byteLength(text));
    } catch {
      // A full disk must not stop what is being logged about.
      this.sizes.delete(ring);
      return;
    }
    this.counts.set(ring, (this.counts.get(ring) ?? 0) + 1);
    for (const wake of [...this.waiting]) wake();
  }

  private pathOf(ring: string): string {
    return join(this.folder, `${ring}.log`);
  }
}
