/** Failures as gRPC has them, by the status that HTTP has for the same code, as Triton's two faces agree. */
import { AppError, toProblem } from '#shared/kernel/errors.js';

/** Numbers of gRPC's status codes. */
export const grpcStatus = {
  OK: 0,
  CANCELLED: 1,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  UNAUTHENTICATED: 16,
} as const;

const byHttpStatus: Readonly<Record<number, number>> = {
  400: grpcStatus.INVALID_ARGUMENT,
  401: grpcStatus.UNAUTHENTICATED,
  403: grpcStatus.PERMISSION_DENIED,
  404: grpcStatus.NOT_FOUND,
  405: grpcStatus.UNIMPLEMENTED,
  409: grpcStatus.FAILED_PRECONDITION,
  413: grpcStatus.RESOURCE_EXHAUSTED,
  415: grpcStatus.INVALID_ARGUMENT,
  421: grpcStatus.PERMISSION_DENIED,
  422: grpcStatus.INVALID_ARGUMENT,
  429: grpcStatus.RESOURCE_EXHAUSTED,
  499: grpcStatus.CANCELLED,
  501: grpcStatus.UNIMPLEMENTED,
  503: grpcStatus.UNAVAILABLE,
  504: grpcStatus.DEADLINE_EXCEEDED,
};

/** Details travel in a header field, and clients refuse answers whose fields are long. */
const maxDetails = 1000;

export interface GrpcFailure {
  readonly code: number;
  readonly details: string;
}

export function grpcFailureOf(error: unknown): GrpcFailure {
  const { message } = toProblem(error);
  const code = error instanceof AppError ? byHttpStatus[error.traits.status] : undefined;
  // By way of bytes: half a surrogate pair cannot be written in a header field.
  return { code: code ?? grpcStatus.INTERNAL, details: Buffer.from(message.slice(0, maxDetails)).toString() };
}
