/** A client of the scoring host's gRPC face as any user builds one: from the .proto files beside the face. */
import { join } from 'node:path';
import {
  type ClientDuplexStream,
  credentials,
  loadPackageDefinition,
  Metadata,
  type ServiceError,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { repository } from './scoring-harness.js';

export const protoFiles = ['open-inference.proto', 'health.proto'].map((file) =>
  join(repository, 'shared/scoring/grpc', file),
);

type Message = Readonly<Record<string, unknown>>;
type Callback = (error: ServiceError | null, answer: unknown) => void;
type Unary = (request: Message, metadata: Metadata, options: { deadline?: number }, done: Callback) => Call;

interface Call {
  cancel(): void;
  on(event: 'metadata', listener: (metadata: Metadata) => void): unknown;
}

interface RawClient {
  close(): void;
  ModelStreamInfer(metadata: Metadata): ClientDuplexStream<Message, StreamAnswer>;
}

export interface GrpcTensor {
  readonly name: string;
  readonly datatype: string;
  readonly shape: readonly string[];
}

export interface InferAnswer {
  readonly model_name: string;
  readonly model_version: string;
  readonly id: string;
  readonly parameters: Readonly<Record<string, Message>>;
  readonly outputs: readonly GrpcTensor[];
  readonly raw_output_contents: readonly Buffer[];
}

export interface StreamAnswer {
  readonly error_message: string;
  readonly infer_response: InferAnswer | null;
}

export interface Answered<T> {
  readonly answer: T;
  readonly fields: Readonly<Record<string, unknown>>;
}

interface CallOptions {
  readonly metadata?: Readonly<Record<string, string>>;
  readonly deadlineMs?: number;
  readonly service?: 'inference.GRPCInferenceService' | 'grpc.health.v1.Health';
  readonly onCall?: (call: Call) => void;
}

export class GrpcClient {
  private readonly clients = new Map<string, RawClient>();

  /** @param authority by which it calls the server; the address, if absent */
  constructor(
    private readonly address: string,
    private readonly authority?: string,
  ) {}

  /** @throws ServiceError with `code` and `details` */
  call<T>(method: string, request: Message = {}, options: CallOptions = {}): Promise<Answered<T>> {
    const client = this.client(options.service ?? 'inference.GRPCInferenceService');
    const metadata = metadataOf(options.metadata ?? {});
    const deadline = options.deadlineMs === undefined ? {} : { deadline: Date.now() + options.deadlineMs };
    return new Promise((resolve, reject) => {
      let fields: Readonly<Record<string, unknown>> = {};
      const unary = Reflect.get(client, method) as Unary;
      const call = unary.call(client, request, metadata, deadline, (error, answer) => {
        if (error) reject(error);
        else resolve({ answer: answer as T, fields });
      });
      call.on('metadata', (received) => {
        fields = received.getMap();
      });
      options.onCall?.(call);
    });
  }

  infer(request: Message, options: CallOptions = {}): Promise<Answered<InferAnswer>> {
    return this.call<InferAnswer>('ModelInfer', request, options);
  }

  stream(metadata: Readonly<Record<string, string>> = {}): ClientDuplexStream<Message, StreamAnswer> {
    return this.client('inference.GRPCInferenceService').ModelStreamInfer(metadataOf(metadata));
  }

  close(): void {
    for (const client of this.clients.values()) client.close();
  }

  private client(service: string): RawClient {
    let client = this.clients.get(service);
    if (!client) {
      const options = { keepCase: true, longs: String, enums: String, defaults: true };
      let found: unknown = loadPackageDefinition(loadSync([...protoFiles], options));
      for (const name of service.split('.')) found = Reflect.get(found as object, name);
      const Client = found as new (address: string, credentials: unknown, options: object) => RawClient;
      client = new Client(this.address, credentials.createInsecure(), {
        'grpc.max_receive_message_length': -1,
        ...(this.authority === undefined ? {} : { 'grpc.default_authority': this.authority }),
        // A connection of its own.
        'grpc.use_local_subchannel_pool': 1,
      });
      this.clients.set(service, client);
    }
    return client;
  }
}

function metadataOf(fields: Readonly<Record<string, string>>): Metadata {
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(fields)) metadata.set(name, value);
  return metadata;
}

/** The status code of a call that must fail. */
export async function failure(call: Promise<unknown>): Promise<{ code: number; details: string; metadata: Metadata }> {
  try {
    await call;
  } catch (error) {
    return error as ServiceError;
  }
  throw new Error('the call succeeded');
}
