/** Failures of the front itself, in the shape of the face that they happened on: what a replica of its own would answer. */
import type { ServerResponse } from 'node:http';
import type { AppError } from '#shared/kernel/errors.js';
import { bytesOfFault, type Face, faultOf } from '#shared/scoring/host/faults.js';

export const deploymentHeader = 'azureml-model-deployment';
export const errorStatusHeader = 'ms-azureml-model-error-statuscode';
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

export function answerRefusal(response: ServerResponse, refused: Refused): void {
  const { error, face, requestId, deployment, reason } = refused;
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const fault = faultOf(error, face);
  const body = bytesOfFault(fault);
  const fields = [...Object.entries(fault.headers).flat(), 'content-length', String(body.length)];
  fields.push('x-request-id', requestId);
  if (deployment !== undefined) fields.push(deploymentHeader, deployment);
  if (reason !== undefined) fields.push(errorReasonHeader, reason);
  response.writeHead(statusOf(error, face), fields);
  response.end(body);
}
