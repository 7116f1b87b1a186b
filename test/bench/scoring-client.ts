/** Keeps a number of connections busy with one binary request. A line of seconds in, a line of JSON out. */
import * as http from 'node:http';
import { createInterface } from 'node:readline';
import { encodeInferRequest } from '#shared/scoring/codec/infer-request.js';

const [target = '', input = '', shapeText = '', connections = '1'] = process.argv.slice(2);
const shape = shapeText.split(',').map(Number);
const data = new Float32Array(shape.reduce((product, size) => product * size, 1)).fill(0.5);
const { body, jsonLength } = encodeInferRequest([{ name: input, datatype: 'FP32', shape, data }]);
const agent = new http.Agent({ keepAlive: true, maxSockets: Number(connections) });
const headers = { 'content-length': body.length, 'inference-header-content-length': jsonLength };

function ask(): Promise<void> {
  return new Promise((resolve, reject) => {
    const request = http.request(target, { agent, method: 'POST', headers }, (response) => {
      if (response.statusCode !== 200) reject(new Error(`status ${String(response.statusCode)}`));
      response.resume().once('end', () => resolve());
    });
    request.once('error', reject);
    request.end(body);
  });
}

for await (const line of createInterface({ input: process.stdin })) {
  const started = performance.now();
  const until = started + Number(line) * 1000;
  let answers = 0;
  const client = async (): Promise<void> => {
    while (performance.now() < until) {
      await ask();
      answers += 1;
    }
  };
  await Promise.all(Array.from({ length: Number(connections) }, client));
  console.log(JSON.stringify({ rate: (answers / (performance.now() - started)) * 1000, count: answers }));
}
agent.destroy();
