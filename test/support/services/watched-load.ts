/** Clients that keep their connections and score without pause and without retry; each request is told as it ends. */
import { Agent, request } from 'node:http';
import { Agent as TlsAgent, request as requestOverTls } from 'node:https';

export interface LoadTarget {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  /** Over TLS: the authority that is believed, PEM. The server is `localhost`. */
  readonly authority?: string | undefined;
}

export interface Asked {
  /** By `performance.now()`. */
  readonly startedMs: number;
  readonly tookMs: number;
  /** Undefined for a 200; otherwise `status 424` or the code by which the connection failed. */
  readonly failure: string | undefined;
  /** Which deployment and version answered. */
  readonly by: string;
}

export class WatchedLoad {
  private stopping = false;
  private readonly agent: Agent;
  private readonly clients: Promise<void>[];

  constructor(
    private readonly target: LoadTarget,
    concurrency: number,
    private readonly tell: (asked: Asked) => void,
  ) {
    const keeping = { keepAlive: true, maxSockets: concurrency };
    const { authority } = target;
    this.agent =
      authority === undefined
        ? new Agent(keeping)
        : new TlsAgent({ ...keeping, ca: authority, servername: 'localhost' });
    this.clients = Array.from({ length: concurrency }, () => this.client());
  }

  async stop(): Promise<void> {
    this.stopping = true;
    await Promise.all(this.clients);
    this.agent.destroy();
  }

  private async client(): Promise<void> {
    while (!this.stopping) {
      const startedMs = performance.now();
      const { failure, by } = await this.once().catch((error: unknown) => ({ failure: codeOf(error), by: '' }));
      this.tell({ startedMs, tookMs: performance.now() - startedMs, failure, by });
    }
  }

  private once(): Promise<Pick<Asked, 'failure' | 'by'>> {
    return new Promise((resolve, reject) => {
      const { url, headers, body, authority } = this.target;
      const sending = { method: 'POST', agent: this.agent, headers: { ...headers, 'content-length': body.length } };
      const sent = (authority === undefined ? request : requestOverTls)(url, sending, (answer) => {
        answer.resume();
        answer.once('error', reject);
        answer.once('end', () => {
          const { statusCode, headers: told } = answer;
          const by = `${String(told['azureml-model-deployment'])} ${String(told['flotilla-version'])}`;
          resolve({ failure: statusCode === 200 ? undefined : `status ${String(statusCode)}`, by });
        });
      });
      sent.once('error', reject);
      sent.end(body);
    });
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error);
}
