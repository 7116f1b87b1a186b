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

export class LogRings {
  private readonly sizes = new Map<string, number>();

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
    }
  }

  private pathOf(ring: string): string {
    return join(this.folder, `${ring}.log`);
  }
}
