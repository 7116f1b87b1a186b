/** A replica that answers when a test says so. */
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';

export class HeldReplica {
  private readonly held: { readonly request: IncomingMessage; readonly response: ServerResponse }[] = [];
  private changed: () => void = () => undefined;
  /** Requests that came in all. */
  seen = 0;

  readonly listener: RequestListener = (request, response) => {
    request.resume();
    this.seen += 1;
    this.held.push({ request, response });
    this.changed();
  };

  /** Resolves when so many are held. */
  async holds(count: number): Promise<void> {
    while (this.held.length < count) {
      await new Promise<void>((resolve) => {
        this.changed = resolve;
      });
    }
  }

  /** Answers the one that came first. */
  answer(body = 'answered'): void {
    this.held.shift()?.response.end(body);
  }

  answerAll(): void {
    while (this.held.length > 0) this.answer();
  }

  /** Closes the connection of the one that came first, after these bytes. */
  breakOff(after = ''): void {
    const first = this.held.shift();
    if (!first) return;
    if (after !== '') first.response.write(after);
    first.request.socket.destroySoon();
  }
}
