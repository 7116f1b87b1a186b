/** The limit: onnxruntime alone, one run after another. A line of seconds in, a line of JSON out. */
import { createInterface } from 'node:readline';
import * as ort from 'onnxruntime-node';

const [path = '', input = '', shapeText = ''] = process.argv.slice(2);
const shape = shapeText.split(',').map(Number);
const session = await ort.InferenceSession.create(path, {
  intraOpNumThreads: 1,
  interOpNumThreads: 1,
  extra: { session: { intra_op: { allow_spinning: '0' } } },
});
const data = new Float32Array(shape.reduce((product, size) => product * size, 1)).fill(0.5);

for await (const line of createInterface({ input: process.stdin })) {
  const until = performance.now() + Number(line) * 1000;
  const started = performance.now();
  const cpuBefore = process.cpuUsage();
  let runs = 0;
  while (performance.now() < until) {
    await session.run({ [input]: new ort.Tensor('float32', data, shape) });
    runs += 1;
  }
  const { user, system } = process.cpuUsage(cpuBefore);
  const rate = (runs / (performance.now() - started)) * 1000;
  console.log(JSON.stringify({ rate, count: runs, cpuMs: (user + system) / 1000 }));
}
