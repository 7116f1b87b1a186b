/**
 * The sending side of the block benchmark, in a process of its own: the embedded broker over TLS and the real
 * block server over a real store and database, and beside them the same file over HTTP and HTTPS.
 */
import { createReadStream } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { flattenChunks, decodeChunkMap } from '#shared/package/chunk-map.js';
import { restartPolicySchema } from '#shared/protocol/desired.js';
import { controlPlaneServerName } from '#shared/protocol/enrolment.js';
import { parseTopic } from '#shared/protocol/topics.js';
import { Metrics } from '#cloud/http/metrics.js';
import { BlockAllowance } from '#cloud/mqtt/block-allowance.js';
import { BlockServer } from '#cloud/mqtt/block-server.js';
import { openEmbedded } from '#test/support/broker-worlds.js';
import { addressOf, bytesOf, FleetWorld, silent } from '#test/support/fleet-world.js';

export interface BenchServer {
  readonly broker: { readonly url: string; readonly serverName: string; readonly authority: string };
  /** PEM. */
  readonly device: { readonly certificate: string; readonly privateKey: string };
  readonly httpPort: number;
  readonly httpsPort: number;
  readonly map: string;
  readonly sha256: string;
  readonly chunks: readonly { readonly offset: number; readonly length: number; readonly sha256: string }[];
}

async function main(fileBytes: number): Promise<void> {
  const world = await FleetWorld.open();
  const { embedded: broker, identity, close } = await openEmbedded(world);
  const device = await world.enrol('bench');
  const image = await world.addImage('model', 1, [bytesOf(fileBytes, 1)]);
  await world.twin.deploy(addressOf('bench'), 'model', {
    image: 'model:1',
    settings: {},
    policy: restartPolicySchema.parse({}),
  });
  const allowance = new BlockAllowance(world.devices, world.deployments);
  const metrics = new Metrics();
  const blocks = new BlockServer({
    broker,
    storage: world.store,
    allowanceOf: (address) => allowance.of(address),
    logger: silent,
    ignored: metrics.counter('ignored', 'ignored'),
    served: metrics.counter('served', 'served'),
  });
  broker.onMessage((text, payload) => {
    const topic = parseTopic(text);
    if (topic?.channel === 'blocksGet') blocks.take({ workspace: topic.workspace, device: topic.device }, payload);
  });

  const [file] = image.blobs;
  const map = image.blobs.find(({ digest }) => digest === image.map);
  if (!file || !map) throw new Error('no file');
  const path = world.store.pathOf(file.digest);
  const serve = (_request: IncomingMessage, response: ServerResponse): void => {
    response.writeHead(200, { 'content-length': fileBytes });
    createReadStream(path, { highWaterMark: 256 * 1024 }).pipe(response);
  };
  const http = createServer(serve);
  const https = createHttpsServer({ cert: identity.server.certificate, key: identity.server.privateKey }, serve);
  const ready: BenchServer = {
    broker: {
      url: `mqtts://127.0.0.1:${String(broker.port)}`,
      serverName: controlPlaneServerName,
      authority: identity.authority,
    },
    device: { certificate: device.certificate, privateKey: device.privateKey },
    httpPort: await listen(http),
    httpsPort: await listen(https),
    map: image.map,
    sha256: file.digest.slice('sha256:'.length),
    chunks: flattenChunks(decodeChunkMap(map.bytes)).map(({ offset, length, sha256 }) => ({ offset, length, sha256 })),
  };
  process.send?.(ready);
  await new Promise<void>((resolve) => process.once('disconnect', () => resolve()));
  http.close();
  https.close();
  await close();
  await world.close();
}

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

await main(Number(process.argv[2]));
