/**
 * A scoring host that is started before anybody knows what it is to serve, so that its program loads while
 * its owner still reads what it needs. It is taken once, and is like any other from then on.
 */
import { ScoringHostProcess, type ScoringHostOptions } from './scoring-host-process.js';

export class EarlyHost {
  private host: ScoringHostProcess | undefined;
  private onLine: ((line: string) => void) | undefined;
  /** Written before it was taken. */
  private readonly lines: string[] = [];

  constructor(options: Omit<ScoringHostOptions, 'onLog'>) {
    const onLog = (line: string): void => {
      if (this.onLine === undefined) this.lines.push(line);
      else this.onLine(line);
    };
    this.host = ScoringHostProcess.spawn({ ...options, onLog });
  }

  /** @returns undefined when it was taken before, or closed */
  take(onLog: (line: string) => void): ScoringHostProcess | undefined {
    const { host } = this;
    if (host === undefined) return undefined;
    this.host = undefined;
    this.onLine = onLog;
    for (const line of this.lines.splice(0)) onLog(line);
    return host;
  }

  /** Ends it where nobody took it. */
  async close(): Promise<void> {
    const { host } = this;
    this.host = undefined;
    await host?.kill();
  }
}
