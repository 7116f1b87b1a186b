/**
 * One side of one scored request as a line of JSON: a CloudEvent with the fields that Azure ML's data
 * collector writes, so that what reads those reads ours. Its `data` holds one record a tensor. Pure.
 */
import { toInstant } from '#shared/kernel/clock.js';
import type { CapturedTensor } from './captured-tensors.js';

export type Side = 'inputs' | 'outputs';

export interface EventHead {
  readonly id: string;
  /** Wall time of the answer. */
  readonly atMs: number;
  readonly side: Side;
  readonly model: string;
  readonly version: number;
  readonly digest: string;
  readonly requestId: string;
  /** Whose it is; absent: that of the model. */
  readonly source?: string;
}

export interface Captured extends EventHead {
  readonly tensors: readonly CapturedTensor[];
}

export function cloudEventLine(captured: Captured): string {
  return eventLine(captured, 'tensors', captured.tensors);
}

/** @param kind of what `data` is */
export function eventLine(event: EventHead, kind: 'tensors' | 'json' | 'bytes', of: unknown): string {
  const { id, atMs, side, model, version, digest, requestId, source } = event;
  const data = JSON.stringify(of);
  const bytes = Buffer.byteLength(data);
  const own = `/models/${model}/versions/${String(version)}`;
  const head = {
    specversion: '1.0',
    id,
    source: source ?? own,
    ...(source === undefined ? {} : { subject: `${own}@${digest}` }),
    type: `azureml.inference.${side}`,
    datacontenttype: 'application/json',
    time: toInstant(atMs),
  };
  const tail = {
    correlationid: requestId,
    xrequestid: requestId,
    modelversion: String(version),
    modeldigest: digest,
    collectdatatype: kind,
    agent: 'flotilla',
    contentrange: `bytes 0-${String(Math.max(0, bytes - 1))}/${String(bytes)}`,
  };
  return `${JSON.stringify(head).slice(0, -1)},"data":${data},${JSON.stringify(tail).slice(1)}\n`;
}

/** `{endpoint}/{deployment}/{collection}/{yyyy}/{MM}/{dd}/{HH}`: the module is the endpoint, its version the deployment. */
export function captureFolderOf({ model, version, side, atMs }: Captured): string {
  const [date = '', time = ''] = toInstant(atMs).split('T');
  return [model, String(version), `model_${side}`, ...date.split('-'), time.slice(0, 2)].join('/');
}
