/** The gRPC face of a real scoring host, asked by a client that was built from our .proto files. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { failure, GrpcClient } from '#test/support/grpc-client.js';
import { fixtures, hostedModule, Scoring } from '#test/support/scoring-harness.js';

const floats = (bytes: Uint8Array | undefined): number[] => {
  const copy = Uint8Array.from(bytes ?? []);
  return [...new Float32Array(copy.buffer)];
};

describe('the gRPC face', () => {
  const scoring = new Scoring();
  let client: GrpcClient;

  beforeAll(async () => {
    const addOne = hostedModule(fixtures, 'add-one.onnx', { name: 'add-one', version: 3 });
    const strings = hostedModule(fixtures, 'string-identity.onnx', { name: 'strings' });
    const served = await scoring.serveGrpc([addOne, strings], { controlToken: 'let-me', labels: { generation: '7' } });
    client = new GrpcClient(served.address);
  });
  afterAll(async () => {
    client.close();
    await scoring.end();
  });

  it('probe', async () => {
    console.log(JSON.stringify(await client.call('ModelMetadata', { name: 'add-one' })));
    console.log(JSON.stringify(await client.call('ModelMetadata', { name: 'strings' })));
    console.log(JSON.stringify(await client.call('ServerMetadata')));
    expect(floats(undefined)).toEqual([]);
    console.log(await failure(client.call('ModelMetadata', { name: 'nope' })));
  });
});
