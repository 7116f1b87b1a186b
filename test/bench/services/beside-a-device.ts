/** The same image asked on a device and behind the endpoint: the bytes of what both say, and what they say it came from. */
import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { request as requestOverTls } from 'node:https';
import { buffer } from 'node:stream/consumers';
import { endpoint, type WebService } from '#test/support/services/web-service.js';
import { ownPort } from '#test/support/own-port.js';
import { printTable } from '../report.js';

const provenance = ['flotilla-model', 'flotilla-version', 'flotilla-digest'] as const;

interface Answer {
  readonly bytes: Buffer;
  readonly from: readonly string[];
}

/** @throws Error where they are not the same */
export async function compareWithDevice(service: WebService): Promise<void> {
  const { world } = service;
  const port = await ownPort();
  await world.enrol('cam-1');
  await world.startAgent('cam-1', port);
  await world.flotilla('deploy', 'digits:1', '--device', 'cam-1', '--timeout', '60s');
  await world.flotilla('endpoint', 'traffic', endpoint, 'green=100');
  const { authorization, ...headers } = service.headers;
  const device = await ask(`http://127.0.0.1:${String(port)}/score/digits`, headers, service.body);
  const web = await ask(
    service.url,
    { ...headers, authorization: authorization ?? '' },
    service.body,
    service.authority,
  );
  console.log('\nthe same image on a device and behind the endpoint');
  printTable(
    ['', ...provenance, 'bytes of the answer'],
    [
      ['device', ...device.from, String(device.bytes.length)],
      ['endpoint', ...web.from, String(web.bytes.length)],
    ],
  );
  console.log(`device:   ${device.bytes.toString()}`);
  console.log(`endpoint: ${web.bytes.toString()}`);
  if (!device.bytes.equals(web.bytes)) throw new Error('device and endpoint answer with other bytes');
  if (device.from.join() !== web.from.join()) throw new Error('device and endpoint name another origin');
  console.log('outputs and origin are equal, byte for byte');
}

async function ask(url: string, headers: Record<string, string>, body: Buffer, authority?: string): Promise<Answer> {
  const sent =
    authority === undefined
      ? request(url, { method: 'POST', headers })
      : requestOverTls(url, { method: 'POST', headers, ca: authority, servername: 'localhost' });
  sent.end(body);
  const [answer] = (await once(sent, 'response')) as [IncomingMessage];
  const bytes = await buffer(answer);
  if (answer.statusCode !== 200) throw new Error(`${url} answers ${String(answer.statusCode)}: ${bytes.toString()}`);
  return { bytes, from: provenance.map((name) => String(answer.headers[name] ?? 'not told')) };
}
