/** A scoring host as its owner keeps it: started, replaced by handover on the same port, ended. */
import { setTimeout as sleep } from 'node:timers/promises';
import { scoringHostEntry } from '#test/support/scoring-harness.js';
import type { HostConfig } from '#shared/scoring/host-protocol.js';
import { bindHandle, type ListenHandle } from '#shared/supervisor/listen-handle.js';
import { ScoringHostProcess } from '#shared/supervisor/scoring-host-process.js';
import { postRequest, ask, type Answer } from './http-client.js';

const drainMs = 30_000;

export class OwnedHost {
  private current: ScoringHostProcess | undefined;
  private readonly handle: ListenHandle = bindHandle('127.0.0.1', 0);
  /** How hosts ended that nobody had asked to. */
  readonly unasked: string[] = [];

  /** @param configOf the n-th host's configuration, counted from 1 */
  constructor(
    private readonly configOf: (generation: number) => HostConfig,
    private readonly onLog: (line: string) => void,
  ) {}

  private generation = 0;

  get port(): number {
    return this.handle.port;
  }

  get pid(): number {
    return this.current?.pid ?? 0;
  }

  /** Starts the next host, lets it listen, then drains the one before. */
  async next(): Promise<void> {
    this.generation += 1;
    const host = ScoringHostProcess.spawn({
      entry: scoringHostEntry,
      env: { FLOTILLA_LOG_LEVEL: 'warn' },
      onLog: this.onLog,
    });
    const before = this.current;
    this.current = host;
    void host.exited.then(({ code, signal }) => {
      if (this.current === host) this.unasked.push(`a host ended by itself: ${signal ?? String(code)}`);
    });
    const loaded = await host.load(this.configOf(this.generation));
    if (!loaded.ok) throw new Error(`${loaded.error.module}: ${loaded.error.problem.message}`);
    await host.listen(this.handle.handle);
    await before?.drain(drainMs);
  }

  /**
   * Loads or unloads a model over HTTP, as an operator does.
   *
   * @returns false where this host has no such route
   */
  async repository(action: 'load' | 'unload', model: string, token: string): Promise<boolean> {
    const { status, body } = await this.asked(action, model, token);
    if (status === 404 && body.includes('nothing answers at')) return false;
    if (status !== 200)
      throw new Error(`${action} of ${model} answers ${String(status)}: ${body.toString().slice(0, 300)}`);
    return true;
  }

  private asked(action: string, model: string, token: string): Promise<Answer> {
    const path = `/v2/repository/models/${model}/${action}`;
    return ask(this.port, postRequest(path, { authorization: `Bearer ${token}` }, Buffer.from('{}')));
  }

  async end(): Promise<void> {
    const host = this.current;
    this.current = undefined;
    await host?.drain(drainMs);
    this.handle.close();
    // The last lines of its log.
    await sleep(10);
  }
}
