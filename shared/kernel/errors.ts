/**
 * The one registry of operational failures. A code means the same in an HTTP body, a device's
 * report and the CLI's output. Bugs are not here: they throw, and the process is restarted.
 *
 * `retry`: `never` (the same request fails again), `later` (may succeed unchanged after a while),
 * `changed` (succeeds once the state it names has changed).
 */
export const errorRegistry = {
  // The request itself
  'request.invalid': { status: 400, retry: 'never', exit: 2 },
  'request.too-large': { status: 413, retry: 'never', exit: 2 },
  'request.unsupported-type': { status: 415, retry: 'never', exit: 2 },
  'request.method-not-allowed': { status: 405, retry: 'never', exit: 2 },
  'request.not-found': { status: 404, retry: 'never', exit: 4 },
  'request.range': { status: 416, retry: 'never', exit: 2 },
  'request.headers-too-large': { status: 431, retry: 'never', exit: 2 },
  'request.timeout': { status: 408, retry: 'later', exit: 6 },
  'request.not-implemented': { status: 501, retry: 'never', exit: 2 },
  'query.invalid': { status: 400, retry: 'never', exit: 2 },
  'request.wrong-host': { status: 421, retry: 'never', exit: 2 },
  'request.wrong-origin': { status: 403, retry: 'never', exit: 3 },
  'request.aborted': { status: 499, retry: 'later', exit: 1 },
  // Who may
  'auth.missing': { status: 401, retry: 'never', exit: 3 },
  'auth.invalid': { status: 401, retry: 'never', exit: 3 },
  'auth.forbidden': { status: 403, retry: 'never', exit: 3 },
  'audit.broken': { status: 500, retry: 'never', exit: 1 },
  'auth.issuer-unreachable': { status: 503, retry: 'later', exit: 6 },
  'token.not-found': { status: 404, retry: 'changed', exit: 4 },
  'token.exists': { status: 409, retry: 'never', exit: 5 },
  'enrolment.token-invalid': { status: 401, retry: 'never', exit: 3 },
  'enrolment.token-used': { status: 401, retry: 'never', exit: 3 },
  'enrolment.token-expired': { status: 401, retry: 'never', exit: 3 },
  'enrolment.pin-mismatch': { status: 401, retry: 'never', exit: 3 },
  'enrolment.csr-invalid': { status: 422, retry: 'never', exit: 2 },
  'enrolment.not-allowed': { status: 403, retry: 'never', exit: 3 },
  'enrolment.rejected': { status: 403, retry: 'never', exit: 3 },
  'enrolment.pending': { status: 409, retry: 'later', exit: 6 },
  'certificate.missing': { status: 401, retry: 'never', exit: 3 },
  'certificate.invalid': { status: 401, retry: 'never', exit: 3 },
  'certificate.expired': { status: 401, retry: 'never', exit: 3 },
  'certificate.revoked': { status: 401, retry: 'never', exit: 3 },
  // Things that are not there, or in the way
  'workspace.not-found': { status: 404, retry: 'changed', exit: 4 },
  'workspace.exists': { status: 409, retry: 'never', exit: 5 },
  'workspace.not-empty': { status: 409, retry: 'changed', exit: 5 },
  'model.not-found': { status: 404, retry: 'changed', exit: 4 },
  'model.invalid': { status: 422, retry: 'never', exit: 2 },
  'model.not-onnx': { status: 422, retry: 'never', exit: 2 },
  'model.unloadable': { status: 422, retry: 'never', exit: 2 },
  'model.in-use': { status: 409, retry: 'changed', exit: 5 },
  'image.not-found': { status: 404, retry: 'changed', exit: 4 },
  'image.invalid': { status: 422, retry: 'never', exit: 2 },
  'image.in-use': { status: 409, retry: 'changed', exit: 5 },
  'image.unsigned': { status: 422, retry: 'changed', exit: 2 },
  'module.not-found': { status: 404, retry: 'changed', exit: 4 },
  'module.invalid': { status: 422, retry: 'never', exit: 2 },
  'module.group-rejected': { status: 422, retry: 'never', exit: 1 },
  'module.held': { status: 409, retry: 'changed', exit: 5 },
  'route.invalid': { status: 422, retry: 'changed', exit: 2 },
  'module.not-yet': { status: 501, retry: 'never', exit: 2 },
  'device.not-found': { status: 404, retry: 'changed', exit: 4 },
  'device.exists': { status: 409, retry: 'never', exit: 5 },
  'device.retired': { status: 409, retry: 'never', exit: 5 },
  'device.offline': { status: 504, retry: 'later', exit: 6 },
  'device.timeout': { status: 504, retry: 'later', exit: 6 },
  'fleet.not-found': { status: 404, retry: 'changed', exit: 4 },
  'fleet.exists': { status: 409, retry: 'never', exit: 5 },
  'layer.not-found': { status: 404, retry: 'changed', exit: 4 },
  'layer.exists': { status: 409, retry: 'never', exit: 5 },
  'layer.conflict': { status: 409, retry: 'changed', exit: 5 },
  'layer.in-force': { status: 409, retry: 'changed', exit: 5 },
  'layer.too-wide': { status: 409, retry: 'changed', exit: 5 },
  'release.not-found': { status: 404, retry: 'changed', exit: 4 },
  'release.invalid': { status: 422, retry: 'never', exit: 2 },
  'release.in-use': { status: 409, retry: 'changed', exit: 5 },
  'rollout.not-found': { status: 404, retry: 'changed', exit: 4 },
  'rollout.conflict': { status: 409, retry: 'changed', exit: 5 },
  'rollout.failed': { status: 422, retry: 'never', exit: 1 },
  'freeze.not-found': { status: 404, retry: 'changed', exit: 4 },
  'freeze.exists': { status: 409, retry: 'never', exit: 5 },
  'schedule.not-found': { status: 404, retry: 'changed', exit: 4 },
  'rollout.state': { status: 409, retry: 'changed', exit: 5 },
  'key.not-found': { status: 404, retry: 'changed', exit: 4 },
  'key.exists': { status: 409, retry: 'never', exit: 5 },
  'certificate.not-found': { status: 404, retry: 'changed', exit: 4 },
  'claim.not-found': { status: 404, retry: 'changed', exit: 4 },
  'claim.exists': { status: 409, retry: 'never', exit: 5 },
  'claim.full': { status: 409, retry: 'changed', exit: 5 },
  'alert.not-found': { status: 404, retry: 'changed', exit: 4 },
  'activity.not-found': { status: 404, retry: 'changed', exit: 4 },
  'activity.failed': { status: 422, retry: 'never', exit: 1 },
  'activity.cancelled': { status: 409, retry: 'later', exit: 1 },
  'capability.unmet': { status: 422, retry: 'never', exit: 2 },
  'permission.refused': { status: 403, retry: 'never', exit: 3 },
  'command.not-found': { status: 404, retry: 'changed', exit: 4 },
  'command.busy': { status: 409, retry: 'later', exit: 5 },
  'command.ended': { status: 409, retry: 'never', exit: 5 },
  'command.failed': { status: 422, retry: 'never', exit: 1 },
  'schedule.exists': { status: 409, retry: 'never', exit: 5 },
  'command.expired': { status: 504, retry: 'later', exit: 6 },
  'desired.conflict': { status: 409, retry: 'later', exit: 5 },
  'desired.too-large': { status: 413, retry: 'never', exit: 2 },
  // Web services
  'endpoint.not-found': { status: 404, retry: 'changed', exit: 4 },
  'endpoint.no-traffic': { status: 404, retry: 'changed', exit: 4 },
  'deployment.not-found': { status: 404, retry: 'changed', exit: 4 },
  'endpoint.replica-failed': { status: 424, retry: 'later', exit: 6 },
  'endpoint.exists': { status: 409, retry: 'never', exit: 5 },
  'endpoint.in-use': { status: 409, retry: 'changed', exit: 5 },
  'endpoint.full': { status: 409, retry: 'changed', exit: 5 },
  'endpoint.invalid': { status: 422, retry: 'never', exit: 2 },
  'endpoint.auth-mode': { status: 409, retry: 'changed', exit: 5 },
  'deployment.exists': { status: 409, retry: 'never', exit: 5 },
  'deployment.in-use': { status: 409, retry: 'changed', exit: 5 },
  'deployment.failed': { status: 422, retry: 'never', exit: 1 },
  'deployment.overtaken': { status: 409, retry: 'never', exit: 5 },
  'shift.not-found': { status: 404, retry: 'changed', exit: 4 },
  'shift.conflict': { status: 409, retry: 'changed', exit: 5 },
  'shift.state': { status: 409, retry: 'changed', exit: 5 },
  'shift.failed': { status: 422, retry: 'never', exit: 1 },
  'service.disabled': { status: 409, retry: 'changed', exit: 5 },
  // Bytes and trust
  'data.not-collected': { status: 404, retry: 'changed', exit: 4 },
  'data.not-found': { status: 404, retry: 'changed', exit: 4 },
  'blob.not-found': { status: 404, retry: 'changed', exit: 4 },
  'blob.digest-mismatch': { status: 422, retry: 'later', exit: 1 },
  'blob.corrupt': { status: 500, retry: 'changed', exit: 1 },
  'archive.unsafe': { status: 422, retry: 'never', exit: 2 },
  'archive.too-large': { status: 413, retry: 'never', exit: 2 },
  'signature.invalid': { status: 422, retry: 'never', exit: 3 },
  'signature.unknown-key': { status: 422, retry: 'never', exit: 3 },
  'signature.withdrawn': { status: 422, retry: 'never', exit: 3 },
  'key.invalid': { status: 422, retry: 'never', exit: 2 },
  'key.locked': { status: 401, retry: 'never', exit: 3 },
  'trust.not-found': { status: 404, retry: 'changed', exit: 4 },
  'trust.invalid': { status: 422, retry: 'never', exit: 2 },
  'trust.wrong-workspace': { status: 422, retry: 'never', exit: 3 },
  'trust.older-version': { status: 409, retry: 'never', exit: 5 },
  'trust.same-version': { status: 409, retry: 'never', exit: 5 },
  'trust.gap': { status: 409, retry: 'changed', exit: 5 },
  'trust.threshold': { status: 422, retry: 'changed', exit: 3 },
  'trust.not-yet': { status: 409, retry: 'changed', exit: 5 },
  'desired.wrong-device': { status: 422, retry: 'never', exit: 3 },
  'desired.older-generation': { status: 409, retry: 'never', exit: 3 },
  'desired.same-generation': { status: 409, retry: 'never', exit: 3 },
  'desired.invalid': { status: 422, retry: 'never', exit: 2 },
  'message.too-large': { status: 413, retry: 'never', exit: 2 },
  'message.malformed': { status: 400, retry: 'never', exit: 2 },
  // Scoring
  'score.invalid-input': { status: 400, retry: 'never', exit: 2 },
  'score.overloaded': { status: 503, retry: 'later', exit: 6 },
  'score.failed': { status: 500, retry: 'never', exit: 1 },
  'score.timeout': { status: 504, retry: 'later', exit: 6 },
  'score.not-ready': { status: 503, retry: 'later', exit: 6 },
  'golden.mismatch': { status: 422, retry: 'never', exit: 1 },
  'golden.too-slow': { status: 422, retry: 'later', exit: 1 },
  'golden.too-large': { status: 422, retry: 'later', exit: 1 },
  'probation.failed': { status: 422, retry: 'never', exit: 1 },
  'shadow.failed': { status: 422, retry: 'never', exit: 1 },
  'shadow.not-found': { status: 404, retry: 'changed', exit: 4 },
  'device.unsupported': { status: 409, retry: 'changed', exit: 5 },
  'shadow.unsupported': { status: 409, retry: 'changed', exit: 5 },
  // The machine beneath
  'disk.full': { status: 507, retry: 'changed', exit: 7 },
  'disk.failed': { status: 500, retry: 'changed', exit: 7 },
  'state.corrupt': { status: 500, retry: 'changed', exit: 7 },
  'port.taken': { status: 500, retry: 'changed', exit: 7 },
  'already.running': { status: 409, retry: 'changed', exit: 7 },
  'process.failed': { status: 500, retry: 'later', exit: 1 },
  'engine.unreachable': { status: 503, retry: 'later', exit: 6 },
  'engine.refused': { status: 502, retry: 'later', exit: 1 },
  'broker.unreachable': { status: 503, retry: 'later', exit: 6 },
  'service.unavailable': { status: 503, retry: 'later', exit: 6 },
  'server.unreachable': { status: 503, retry: 'later', exit: 6 },
  'server.untrusted': { status: 502, retry: 'changed', exit: 3 },
  'server.incompatible': { status: 502, retry: 'changed', exit: 1 },
  'config.invalid': { status: 500, retry: 'never', exit: 2 },
  'rate.limited': { status: 429, retry: 'later', exit: 6 },
  internal: { status: 500, retry: 'later', exit: 70 },
} as const satisfies Record<string, ErrorTraits>;

export interface ErrorTraits {
  /** HTTP status */
  readonly status: number;
  readonly retry: 'never' | 'later' | 'changed';
  /** Exit code of a command that ends with this error */
  readonly exit: number;
}

export type ErrorCode = keyof typeof errorRegistry;

export const errorCodes = Object.keys(errorRegistry) as ErrorCode[];

export function isErrorCode(text: string): text is ErrorCode {
  return Object.hasOwn(errorRegistry, text);
}

/** Plain data that goes with an error to whoever must act on it; never a secret. */
export type ErrorDetails = Readonly<Record<string, unknown>>;

/**
 * An operational failure. The message says what was wrong, where, and what to do.
 */
export class AppError extends Error {
  override readonly name = 'AppError';

  constructor(
    readonly code: ErrorCode,
    message: string,
    options: { readonly details?: ErrorDetails; readonly cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.details = options.details ?? {};
  }

  readonly details: ErrorDetails;

  get traits(): ErrorTraits {
    return errorRegistry[this.code];
  }
}

/** The failure as data, as it stands in HTTP bodies, device reports and command responses. */
export interface Problem {
  readonly code: ErrorCode;
  readonly message: string;
  readonly details?: ErrorDetails;
}

export function toProblem(error: unknown): Problem {
  if (error instanceof AppError) {
    return Object.keys(error.details).length > 0
      ? { code: error.code, message: error.message, details: error.details }
      : { code: error.code, message: error.message };
  }
  return { code: 'internal', message: 'an internal error; the log of the process that answered has the cause' };
}

/** The message of anything that was thrown. */
export function messageOf(thrown: unknown): string {
  if (thrown instanceof Error) return thrown.message;
  try {
    return String(thrown);
  } catch {
    return 'something was thrown that has no text';
  }
}
