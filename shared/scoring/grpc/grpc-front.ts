/**
 * The gRPC front of a scoring host, on a handle that its owner bound. grpc-js speaks the protocol; messages
 * pass it as bytes, and are read and written by the methods. Imported only where a port for gRPC was asked
 * for: a host without one neither loads the library nor pays for it.
 *
 * It ends without failing a call. A client is told first, while all that it may still have sent is answered;
 * only when it has confirmed are connections closed. Closing at once would refuse requests that are on their
 * way, which not every client sends again.
 */
import type { ServerHttp2Session } from 'node:http2';
import * as net from 'node:net';
import {
  type handleUnaryCall,
  type handleBidiStreamingCall,
  Metadata,
  type MethodDefinition,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerUnaryCall,
} from '@grpc/grpc-js';
import { AppError } from '#shared/kernel/errors.js';
import type { NewId } from '#shared/kernel/ids.js';
import type { Logger } from '#shared/platform/logger.js';
import type { AccessGate } from '../access/access-gate.js';
import { acceptableId } from '../host/request-id.js';
import type { ScoringHost } from '../host/scoring-host.js';
import { callAdmission, refusalOf } from './call-admission.js';
import type { GrpcCall, UnaryMethod } from './grpc-call.js';
import { grpcFailureOf, grpcStatus } from './grpc-status.js';
import { InferStream } from './infer-stream.js';
import { healthMethods, healthService, inferenceMethods, inferenceService } from './service-methods.js';

/** Beside the tensors of the largest body: names, shapes, lengths. */
const messageSlackBytes = 64 * 1024;
/** Of one connection; the client's library holds back what goes beyond. */
const maxConcurrentStreams = 256;
/** How long streams without a request are left open while the host ends, where nobody says otherwise. */
const idleStreamMs = 6000;
/** For a client to say that it has read that it must go elsewhere: far more than a message takes there and back. */
const confirmMs = 1000;
/** The stream id of a GOAWAY that refuses nothing yet. */
const allStreams = 2 ** 31 - 1;

export interface GrpcFrontDeps {
  readonly host: ScoringHost;
  readonly gate: AccessGate;
  readonly log: Logger;
  readonly newId: NewId;
}

type AnyCall = ServerUnaryCall<Buffer, Buffer> | ServerDuplexStream<Buffer, Buffer>;

export class GrpcFront {
  private readonly server: Server;
  private readonly listener: net.Server;
  private readonly sockets = new Set<net.Socket>();
  /** With what each asks by, for when the rules change. */
  private readonly streams = new Map<InferStream, ServerDuplexStream<Buffer, Buffer>>();
  private idle: () => void = () => undefined;

  constructor(private readonly deps: GrpcFrontDeps) {
    const { host, gate } = deps;
    this.server = new Server({
      'grpc.max_receive_message_length': host.maxBodyBytes + messageSlackBytes,
      'grpc.max_send_message_length': -1,
      'grpc.max_concurrent_streams': maxConcurrentStreams,
      'grpc.enable_channelz': 0,
      interceptors: [callAdmission(gate)],
    });
    this.addService(inferenceService, inferenceMethods(host));
    this.addService(healthService, healthMethods(host));
    const injector = this.server.createConnectionInjector(ServerCredentials.createInsecure());
    this.listener = net.createServer({ noDelay: true }, (socket) => {
      this.sockets.add(socket);
      socket.once('close', () => {
        this.sockets.delete(socket);
        if (this.sockets.size === 0) this.idle();
      });
      injector.injectConnection(socket);
    });
  }

  /** @throws what listening fails with */
  listen(handle: unknown): Promise<void> {
    return new Promise((resolve, reject) => {
      this.listener.once('error', reject);
      this.listener.listen(handle, () => {
        this.listener.off('error', reject);
        resolve();
      });
    });
  }

  /** Stops accepting, at once. */
  begin(): void {
    if (this.listener.listening) this.listener.close();
  }

  /**
   * Resolves once all calls are answered and all connections closed.
   *
   * @param idleMs how long open streams without a request are waited for
   */
  async finish(idleMs: number = idleStreamMs): Promise<void> {
    this.begin();
    const timer = setTimeout(() => this.endStreams(), idleMs);
    await Promise.all([...sessionsOf(this.server)].map((session) => sendAway(session)));
    while (this.sockets.size > 0) {
      await new Promise<void>((resolve) => {
        this.idle = resolve;
      });
    }
    clearTimeout(timer);
  }

  /** The rules have changed: streams that they admit no more end, whatever is under way in them. */
  judgeAgain(): void {
    for (const [stream, grpc] of this.streams) {
      const refusal = refusalOf(this.deps.gate, grpc.metadata, grpc.getHost(), grpc.getPath());
      if (refusal !== undefined) stream.cut(refusal);
    }
  }

  private endStreams(): void {
    const details = 'the host that answered this stream was replaced: open it again';
    for (const stream of this.streams.keys()) stream.finish({ code: grpcStatus.UNAVAILABLE, details });
  }

  private addService(service: string, methods: Readonly<Record<string, UnaryMethod>>): void {
    const stream =
      service === inferenceService ? { ModelStreamInfer: definition(service, 'ModelStreamInfer', true) } : {};
    const unary = Object.keys(methods).map((name) => [name, definition(service, name, false)]);
    this.server.addService(
      { ...(Object.fromEntries(unary) as Record<string, MethodDefinition<Buffer, Buffer>>), ...stream },
      {
        ...Object.fromEntries(Object.entries(methods).map(([name, method]) => [name, this.unary(name, method)])),
        ...('ModelStreamInfer' in stream ? { ModelStreamInfer: this.streamed() } : {}),
      },
    );
  }

  private unary(name: string, method: UnaryMethod): handleUnaryCall<Buffer, Buffer> {
    return (grpc, done) => {
      const { call, metadata } = this.callOf(grpc);
      method(grpc.request, call).then(
        (message) => {
          grpc.sendMetadata(metadata);
          done(null, message);
        },
        (error: unknown) => {
          if (!(error instanceof AppError))
            this.deps.log.error({ err: error, method: name }, 'a call failed by a bug of ours');
          done({ ...grpcFailureOf(error), metadata });
        },
      );
    };
  }

  private streamed(): handleBidiStreamingCall<Buffer, Buffer> {
    return (grpc) => {
      const { call, metadata } = this.callOf(grpc);
      // Each answer may come of another model: what it came of is not told for the whole.
      const fields = new Metadata();
      for (const id of metadata.get('x-request-id')) fields.add('x-request-id', id);
      grpc.sendMetadata(fields);
      const stream = new InferStream(this.deps.host, grpc, call, (failure) => {
        this.streams.delete(stream);
        if (failure) grpc.emit('error', failure);
        else grpc.end();
      });
      this.streams.set(stream, grpc);
      grpc.once('cancelled', () => this.streams.delete(stream));
    };
  }

  private callOf(grpc: AnyCall): { readonly call: GrpcCall; readonly metadata: Metadata } {
    const { clock } = this.deps.host;
    const header = (name: string): string | undefined => {
      const [value] = grpc.metadata.get(name);
      return typeof value === 'string' ? value : undefined;
    };
    const metadata = new Metadata();
    const requestId = acceptableId(header('x-request-id')) ?? this.deps.newId();
    metadata.set('x-request-id', requestId);
    const deadline = Number(grpc.getDeadline());
    const call: GrpcCall = {
      header,
      requestId,
      abandoned: () => grpc.cancelled,
      deadlineMs: Number.isFinite(deadline) ? clock.monotonic() + (deadline - clock.now()) : undefined,
      annotate: (fields) => {
        for (const [name, value] of Object.entries(fields)) metadata.set(name, value);
      },
    };
    return { call, metadata };
  }
}

/** Bytes in, bytes out: the methods know the messages. */
function definition(service: string, name: string, streamed: boolean): MethodDefinition<Buffer, Buffer> {
  const same = (bytes: Buffer): Buffer => bytes;
  return {
    path: `/${service}/${name}`,
    requestStream: streamed,
    responseStream: streamed,
    requestSerialize: same,
    requestDeserialize: same,
    responseSerialize: same,
    responseDeserialize: same,
  };
}

/**
 * grpc-js closes sessions, but has no public way to tell their clients first. The version is pinned, and
 * without this property the error says so.
 */
function sessionsOf(server: Server): ReadonlySet<ServerHttp2Session> {
  const servers: unknown = Reflect.get(server, 'http2Servers');
  if (!(servers instanceof Map)) throw new Error('this version of grpc-js keeps its sessions elsewhere');
  const all = [...(servers as Map<unknown, { readonly sessions: Set<ServerHttp2Session> }>).values()];
  return new Set(all.flatMap(({ sessions }) => [...sessions]));
}

/**
 * What the client sent before it read the GOAWAY has arrived when it answers the ping that follows. A Node
 * client that has no call at that moment may do neither, nor close: after a while it is closed from here.
 */
async function sendAway(session: ServerHttp2Session): Promise<void> {
  if (session.destroyed || session.closed) return;
  session.goaway(0, allStreams);
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, confirmMs);
    const confirmed = (): void => {
      clearTimeout(timer);
      resolve();
    };
    session.once('close', confirmed);
    if (!session.ping(confirmed)) confirmed();
  });
  if (!session.destroyed) session.close();
}
