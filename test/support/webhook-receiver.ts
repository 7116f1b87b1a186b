import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

/** An HTTP server that takes notices and answers 200, as somebody's webhook does. */
export class WebhookReceiver<Notice> {
  /** Bodies in the order that they came. */
  readonly notices: Notice[] = [];

  private constructor(private readonly server: Server) {
    server.on('request', (request, response) => {
      let body = '';
      request.setEncoding('utf8').on('data', (piece: string) => {
        body += piece;
      });
      request.on('end', () => {
        this.notices.push(JSON.parse(body) as Notice);
        response.end();
      });
    });
  }

  static async open<Notice>(): Promise<WebhookReceiver<Notice>> {
    const receiver = new WebhookReceiver<Notice>(createServer());
    await new Promise<void>((resolve) => receiver.server.listen(0, '127.0.0.1', resolve));
    return receiver;
  }

  get url(): string {
    return `http://127.0.0.1:${String((this.server.address() as AddressInfo).port)}/`;
  }

  /** The file of destinations that names it `ops`. */
  get destinations(): string {
    const secret = `whsec_${Buffer.alloc(32, 1).toString('base64')}`;
    return `ops: { url: "${this.url}", secret: "${secret}" }\n`;
  }

  close(): void {
    this.server.closeAllConnections();
    this.server.close();
  }
}
