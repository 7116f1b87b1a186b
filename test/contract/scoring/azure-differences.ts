/** Where our answer is another than that of Azure ML's server, on purpose. */
export type Field =
  | 'status'
  | 'body'
  | 'content-type'
  | 'x-request-id'
  | 'x-ms-request-id'
  | 'x-ms-client-request-id'
  | 'x-ms-run-function-failed'
  | 'x-ms-run-fn-exec-ms'
  | 'traceid'
  | 'allow';

export interface Difference {
  readonly with: 'a script' | 'a model';
  readonly requests: readonly string[];
  readonly field: Field;
  readonly reason: string;
}

const refusedByServer = ['health by POST', 'an unknown path', 'PUT', 'DELETE', 'swagger by POST'];
const longIds = ['a long x-request-id', 'a long x-ms-request-id', 'a long x-ms-client-request-id'];

/** @param requests of the script, unless said otherwise */
function differ(
  field: Field,
  requests: readonly string[],
  reason: string,
  by: Difference['with'] = 'a script',
): Difference {
  return { with: by, requests, field, reason };
}

export const differences: readonly Difference[] = [
  differ('content-type', ['health'], '"Healthy" is text, not a page'),
  differ('content-type', ['OPTIONS'], 'an empty body has no type'),
  differ(
    'x-request-id',
    [...refusedByServer, 'a long x-request-id'],
    'every answer can be found in the logs by its id',
  ),
  differ('x-ms-request-id', refusedByServer, 'every answer can be found in the logs by its id'),
  differ(
    'allow',
    ['health by POST', 'OPTIONS', 'PUT', 'DELETE', 'HEAD', 'swagger by POST'],
    'RFC 9110 wants it on 405',
  ),
  differ('x-ms-run-function-failed', ['health'], 'the face says it on all of its answers'),
  differ('x-ms-run-function-failed', longIds, 'no function ran'),
  differ('traceid', ['a TraceId'], 'of one product of its maker, and not served'),
  differ('body', ['an object as text'], 'a script gets bytes where the client says that it sends no JSON'),
  differ('body', ['a script that returns nothing'], 'nothing is null in JSON'),
  differ(
    'x-ms-run-fn-exec-ms',
    ['a script that refuses with 422'],
    'a Node script refuses by throwing, and did not run to its end',
  ),
  differ('status', ['bad JSON', 'an empty body'], "the body is read before the script: the fault is the client's"),
  differ('status', ['NaN in JSON'], 'JSON has no NaN'),
  differ('x-ms-run-fn-exec-ms', ['NaN in JSON'], 'JSON has no NaN'),
  differ('body', ['NaN in JSON'], 'JSON has no NaN'),
  differ('status', ['a tensor of no declared type'], 'clients of the Open Inference Protocol declare none', 'a model'),
  differ('x-ms-run-fn-exec-ms', ['a tensor of no declared type'], 'it is answered', 'a model'),
  differ('body', ['a tensor of no declared type'], 'it is answered', 'a model'),
  differ('status', ['text for numbers', 'ragged rows'], "the fault is the client's, and is named", 'a model'),
];
