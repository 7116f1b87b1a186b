/** Failures of the front itself, in the shape of the face that they happened on: what a replica of its own would answer. */
import type { AppError } from '#shared/kernel/errors.js';
import { bytesOfFault, type Face, faultOf } from '#shared/scoring/host/faults.js';
import type { Caller } from './caller.js';

export const deploymentHeader = 'azureml-model-deployment';
export const errorStatusHeader = 'ms-azureml-model-error-statuscode';
/** What is served here. */
export const methods = ['GET', 'HEAD', 'POST', 'OPTIONS'];
export const errorReasonHeader = 'ms-azureml-model-error-reason';

export interface Refused {
  readonly error: AppError;
  readonly face: Face;
  readonly requestId: string;
  /** Where one was chosen. */
  readonly deployment?: string | undefined;
  /** In Azure's header, where a replica is the cause. */
  readonly reason?: string | undefined;
}

/** Azure says 408 where time ran out, and the body says of what. */
export function statusOf(error: AppError, face: Face): number {
  return error.code === 'score.timeout' && face === 'score' ? 408 : faultOf(error, face).status;
}

export function answerRefusal(caller: Caller, refused: Refused): void {
  const { error, face, requestId, deployment, reason } = refused;
  if (caller.begun) {
    caller.abort();
    return;
  }
  // Who asks first whether to send a body may now send it or not: what follows could be either.
  if (caller.headers.expect !== undefined) caller.closeAfter();
  const fault = faultOf(error, face);
  const body = bytesOfFault(fault);
  const fields: string[] = [];
  for (const [name, value] of Object.entries(fault.headers)) {
    if (name === 'connection') caller.closeAfter();
    else fields.push(name, value);
  }
  if (error.code === 'request.method-not-allowed') fields.push('allow', methods.join(', '));
  fields.push('content-length', String(body.length), 'x-request-id', requestId);
  if (deployment !== undefined) fields.push(deploymentHeader, deployment);
  if (reason !== undefined) fields.push(errorReasonHeader, printable(reason));
  caller.begin(statusOf(error, face), fields, false);
  caller.end(body);
}

const unprintable = /[^\t\x20-\x7e\x80-\xff]/;

/** As a header may have it. */
export function printable(value: string): string {
  return unprintable.test(value) ? value.replace(new RegExp(unprintable, 'g'), '?') : value;
}
