/** The same requests for both servers. */
export interface AzureRequest {
  readonly what: string;
  readonly method?: string;
  readonly path?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array<ArrayBuffer>;
}

const json = { 'content-type': 'application/json' };
const long = 'x'.repeat(101);

/** Of paths and headers: these concern any script. */
const general: readonly AzureRequest[] = [
  { what: 'health', method: 'GET', path: '/' },
  { what: 'health by POST', path: '/' },
  { what: 'an unknown path', method: 'GET', path: '/nothing' },
  { what: 'OPTIONS', method: 'OPTIONS' },
  { what: 'PUT', method: 'PUT', body: '{}', headers: json },
  { what: 'DELETE', method: 'DELETE' },
  { what: 'HEAD', method: 'HEAD' },
  { what: 'swagger', method: 'GET', path: '/swagger.json' },
  { what: 'swagger 2', method: 'GET', path: '/swagger.json?version=2' },
  { what: 'swagger 3', method: 'GET', path: '/swagger.json?version=3' },
  { what: 'swagger 3.1', method: 'GET', path: '/swagger.json?version=3.1' },
  { what: 'swagger 4', method: 'GET', path: '/swagger.json?version=4' },
  { what: 'swagger by POST', path: '/swagger.json' },
];

/** Served by `azure-script.py`, and by the Node script that does the same. */
export const scriptRequests: readonly AzureRequest[] = [
  ...general,
  { what: 'an object', body: '{"a":[1,2.5,"x",null,true]}', headers: json },
  { what: 'an object without a content type', body: '{"a":1}' },
  { what: 'an object as text', body: '{"a":1}', headers: { 'content-type': 'text/plain' } },
  { what: 'an array', body: '[1,2]', headers: json },
  { what: 'a number', body: '7', headers: json },
  { what: 'non-ASCII text', body: '{"a":"héllo ✓ \u{1F600}"}', headers: json },
  { what: 'a long integer', body: '{"a":9007199254740993}', headers: json },
  { what: 'a script that returns nothing', body: '{"nothing":1}', headers: json },
  { what: 'a script that returns text', body: '{"text":1}', headers: json },
  { what: 'a script that fails', body: '{"fail":1}', headers: json },
  { what: 'a script that refuses with 422', body: '{"refuse":1}', headers: json },
  { what: 'bad JSON', body: '{"a":', headers: json },
  { what: 'NaN in JSON', body: '{"a":NaN}', headers: json },
  { what: 'an empty body', body: '', headers: json },
  { what: 'bytes that are no UTF-8', body: Uint8Array.of(0x22, 0xff, 0xfe, 0x22), headers: json },
  { what: 'a query', method: 'GET', path: '/score?a=1&b=[1,2]&c=x&d=null&e=1&e=two&f=%C3%A9' },
  { what: 'an empty query', method: 'GET' },
  { what: 'a query beside a body', path: '/score?a=1', body: '{"b":2}', headers: json },
  { what: 'x-request-id', body: '{}', headers: { ...json, 'x-request-id': 'r-1' } },
  { what: 'x-ms-request-id', body: '{}', headers: { ...json, 'x-ms-request-id': 'm-1' } },
  { what: 'x-ms-client-request-id', body: '{}', headers: { ...json, 'x-ms-client-request-id': 'c-1' } },
  {
    what: 'all three ids',
    body: '{}',
    headers: { ...json, 'x-request-id': 'r-1', 'x-ms-request-id': 'm-1', 'x-ms-client-request-id': 'c-1' },
  },
  { what: 'ids on a failure', body: '{"fail":1}', headers: { ...json, 'x-request-id': 'r-2' } },
  { what: 'a long x-request-id', body: '{}', headers: { ...json, 'x-request-id': long } },
  { what: 'a long x-ms-request-id', body: '{}', headers: { ...json, 'x-ms-request-id': long } },
  { what: 'a long x-ms-client-request-id', body: '{}', headers: { ...json, 'x-ms-client-request-id': long } },
  { what: 'a TraceId', body: '{}', headers: { ...json, traceid: 't-1' } },
];

/** Served by `azure-model.py`, and by an ONNX model without a script. */
export const modelRequests: readonly AzureRequest[] = [
  { what: 'a tensor', body: '{"x":[[1,2],[3.5,4]]}', headers: json },
  { what: 'a tensor of no declared type', body: '{"x":[[1,2]]}' },
  { what: 'a tensor as text', body: '{"x":[[1,2]]}', headers: { 'content-type': 'text/plain' } },
  { what: 'bad JSON', body: '{"x":', headers: json },
  { what: 'an empty body', body: '', headers: json },
  { what: 'an array', body: '[[1,2]]', headers: json },
  { what: 'no x', body: '{}', headers: json },
  { what: 'another name', body: '{"z":[[1,2]]}', headers: json },
  { what: 'text for numbers', body: '{"x":[["a","b"]]}', headers: json },
  { what: 'ragged rows', body: '{"x":[[1,2],[3]]}', headers: json },
  { what: 'a query', method: 'GET', path: '/score?x=[[1,2]]' },
];
