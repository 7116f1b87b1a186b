/** The limit of a start: onnxruntime loads the model and runs it once, in a process that does nothing else. */
import { InferenceSession, Tensor } from 'onnxruntime-node';

const [model = ''] = process.argv.slice(2);
const session = await InferenceSession.create(model, { intraOpNumThreads: 1, interOpNumThreads: 1 });
const [name = ''] = session.inputNames;
const metadata = session.inputMetadata[0];
const shape = metadata?.isTensor === true ? metadata.shape.map((size) => (typeof size === 'number' ? size : 1)) : [1];
const input = new Tensor('float32', new Float32Array(shape.reduce((all, size) => all * size, 1)), shape);
await session.run({ [name]: input });
process.stdout.write('scored\n');
