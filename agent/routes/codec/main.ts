/**
 * The entry of the thread that decodes pictures, so that none holds up the agent, and one that takes too long
 * can be given up.
 */
import { parentPort } from 'node:worker_threads';
import { toProblem } from '#shared/kernel/errors.js';
import { decodePicture } from './decode-picture.js';
import { pictureTensor } from './picture-tensor.js';
import type { FromDecoder, ToDecoder } from './decoder-protocol.js';

parentPort?.on('message', ({ id, bytes, codec }: ToDecoder) => {
  const port = parentPort;
  const answer = (message: FromDecoder, transfer: readonly ArrayBuffer[]): void => port?.postMessage(message, transfer);
  try {
    const tensor = pictureTensor(decodePicture(Buffer.from(bytes), codec.maxPixels), codec);
    const buffer = tensor.buffer as ArrayBuffer;
    answer({ id, numbers: buffer }, [buffer]);
  } catch (error) {
    answer({ id, problem: toProblem(error) }, []);
  }
});
