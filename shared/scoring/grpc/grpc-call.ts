/** What a method knows of its call, apart from the message. */
export interface GrpcCall {
  /** Metadata that the client sent; the first value of a name. */
  header(name: string): string | undefined;
  /** Whether the client cancelled, went away, or its deadline passed. */
  abandoned(): boolean;
  /** Instant of the monotonic clock; undefined where the client set none. */
  readonly deadlineMs: number | undefined;
  readonly requestId: string;
  /** Metadata of the answer, whether it succeeds or fails. */
  annotate(fields: Readonly<Record<string, string>>): void;
}

/** One message in, one out, both as bytes. */
export type UnaryMethod = (request: Uint8Array, call: GrpcCall) => Promise<Buffer>;
