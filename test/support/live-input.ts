/** What a device is asked without end, one request after another, whatever it answers. */
import { Agent, request } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';

export class LiveInput {
  /** Whatever the answer. */
  answered = 0;
  private stopping = false;
  private readonly agent = new Agent({ keepAlive: true, maxSockets: 1 });
  private readonly running: Promise<void>;

  constructor(
    private readonly url: string,
    requests: readonly Buffer[],
    private readonly pauseMs: number,
  ) {
    this.running = this.run(requests);
  }

  async stop(): Promise<void> {
    this.stopping = true;
    await this.running;
    this.agent.destroy();
  }

  private async run(requests: readonly Buffer[]): Promise<void> {
    for (let turn = 0; !this.stopping; turn++) {
      await this.ask(requests[turn % requests.length] ?? Buffer.alloc(0));
      this.answered += 1;
      await pause(this.pauseMs);
    }
  }

  private ask(body: Buffer): Promise<void> {
    return new Promise((resolve) => {
      const headers = { 'content-type': 'application/json', 'content-length': body.length };
      const sent = request(this.url, { method: 'POST', agent: this.agent, headers }, (response) => {
        response.resume();
        response.once('close', () => resolve());
      });
      sent.once('error', () => resolve());
      sent.end(body);
    });
  }
}
