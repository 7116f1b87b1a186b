/** How a script reaches its module's models: V2 requests with binary tensors on the scoring host's Unix socket. */
import * as http from 'node:http';
import { AppError, isErrorCode, messageOf } from '#shared/kernel/errors.js';
import { errno } from '#shared/platform/atomic-file.js';
import { encodeInferRequest } from '../codec/infer-request.js';
import { readInferResponse } from '../codec/infer-response.js';
import { jsonLengthHeader, jsonLengthOf } from '../codec/json-length.js';
import type { ModelSignature, Tensor } from '../codec/tensor.js';
import { problemHeader } from './problem-header.js';
import { inputsToTensors } from './tensor-input.js';

interface Answer {
  readonly headers: http.IncomingHttpHeaders;
  readonly body: Uint8Array<ArrayBuffer>;
}

export class ModelsClient {
  private agent = new http.Agent({ keepAlive: true });
  private signatures = new Map<string, ModelSignature>();

  constructor(
    private readonly module: string,
    private readonly version: number,
    private socketPath: string,
  ) {}

  /** The models are served here from now on; requests under way end where they began. */
  moveTo(socketPath: string): void {
    this.socketPath = socketPath;
    this.signatures = new Map();
    // Connections in use stay until their answer; the idle ones are let go with the old agent.
    const old = this.agent;
    this.agent = new http.Agent({ keepAlive: true });
    for (const sockets of Object.values(old.freeSockets)) sockets?.forEach((socket) => void socket.destroy());
  }

  /** @throws AppError what the model's run ended with; `score.not-ready` when it cannot be reached */
  async infer(model: string, inputs: unknown): Promise<Record<string, Tensor>> {
    const { body, jsonLength } = encodeInferRequest(inputsToTensors(inputs, await this.signature(model)));
    const answer = await this.ask('POST', model, body, { [jsonLengthHeader]: jsonLength });
    const outputs = readInferResponse(answer.body, jsonLengthOf(answer.headers));
    return Object.fromEntries(outputs.map((output) => [output.name, output]));
  }

  private async signature(model: string): Promise<ModelSignature> {
    const known = this.signatures.get(model);
    if (known) return known;
    const { body } = await this.ask('GET', model, new Uint8Array(0), {});
    const signature = JSON.parse(new TextDecoder().decode(body)) as ModelSignature;
    this.signatures.set(model, signature);
    return signature;
  }

  private async ask(
    method: string,
    model: string,
    body: Uint8Array,
    headers: http.OutgoingHttpHeaders,
  ): Promise<Answer> {
    for (;;) {
      try {
        return await this.askOnce(method, model, body, headers);
      } catch (error) {
        if (!(error instanceof ClosedConnection)) throw error;
      }
    }
  }

  private askOnce(method: string, model: string, body: Uint8Array, headers: http.OutgoingHttpHeaders): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const { agent, socketPath, module, version } = this;
      const request = http.request({
        agent,
        socketPath,
        method,
        path: `/${module}/${String(version)}/${model}`,
        headers: { ...headers, 'content-length': body.length },
      });
      request.once('error', (error) => {
        // A kept connection that the other end closed meanwhile: the run has no effect, so ask again.
        if (request.reusedSocket && errno(error) === 'ECONNRESET') reject(new ClosedConnection());
        else
          reject(
            new AppError('score.not-ready', `model "${model}" cannot be reached: ${messageOf(error)}`, {
              cause: error,
            }),
          );
      });
      request.once('response', (response) => {
        readAnswer(response, model).then(resolve, reject);
      });
      request.end(body);
    });
  }
}

class ClosedConnection extends Error {}

async function readAnswer(response: http.IncomingMessage, model: string): Promise<Answer> {
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  const body = new Uint8Array(Buffer.concat(chunks));
  if (response.statusCode === 200) return { headers: response.headers, body };
  const { message } = JSON.parse(new TextDecoder().decode(body)) as { message?: string };
  const code = response.headers[problemHeader];
  throw new AppError(
    typeof code === 'string' && isErrorCode(code) ? code : 'score.failed',
    message ?? `model "${model}" answered ${String(response.statusCode)}`,
  );
}
