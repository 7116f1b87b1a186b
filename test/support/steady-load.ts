/** Keep-alive clients that score without pause and without retry; whatever is no 200 is counted, resets included. */
import { Agent, request } from 'node:http';

export interface LoadResult {
  readonly answered: number;
  readonly failed: number;
  /** Answers by the version that gave them. */
  readonly versions: Readonly<Record<string, number>>;
  readonly failures: readonly string[];
}

export class SteadyLoad {
  private stopping = false;
  private answered = 0;
  private readonly versions: Record<string, number> = {};
  private readonly failures: string[] = [];
  private readonly agent: Agent;
  private readonly clients: Promise<void>[];

  constructor(
    private readonly url: string,
    private readonly body: Buffer,
    concurrency = 8,
  ) {
    this.agent = new Agent({ keepAlive: true, maxSockets: concurrency });
    this.clients = Array.from({ length: concurrency }, () => this.client());
  }

  get total(): number {
    return this.answered + this.failures.length;
  }

  get failed(): readonly string[] {
    return this.failures;
  }

  async stop(): Promise<LoadResult> {
    this.stopping = true;
    await Promise.all(this.clients);
    this.agent.destroy();
    const { answered, versions, failures } = this;
    return { answered, failed: failures.length, versions, failures: failures.slice(0, 5) };
  }

  private async client(): Promise<void> {
    while (!this.stopping) {
      try {
        const { status, version } = await this.once();
        if (status !== 200) this.failures.push(`status ${String(status)}`);
        else {
          this.answered += 1;
          this.versions[version] = (this.versions[version] ?? 0) + 1;
        }
      } catch (error) {
        this.failures.push(error instanceof Error ? error.message : String(error));
      }
    }
  }

  private once(): Promise<{ status: number; version: string }> {
    return new Promise((resolve, reject) => {
      const headers = { 'content-type': 'application/json', 'content-length': this.body.length };
      const sent = request(this.url, { method: 'POST', agent: this.agent, headers }, (response) => {
        response.resume();
        response.once('error', reject);
        response.once('end', () =>
          resolve({ status: response.statusCode ?? 0, version: String(response.headers['flotilla-version']) }),
        );
      });
      sent.once('error', reject);
      sent.end(this.body);
    });
  }
}
