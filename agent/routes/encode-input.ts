/** How what a route brings becomes a request to the module: the path, what the body is, and the body. */
import { AppError } from '#shared/kernel/errors.js';
import type { ModuleManifest } from '#shared/package/module-manifest.js';
import { type ImageCodec, imageShape } from '#shared/protocol/image-codec.js';
import type { RouteCodec } from '#shared/protocol/route.js';
import type { ModuleRequest } from './ask-module.js';
import { RouteFault } from './payload.js';

/** Numbers of a picture, row by row as the codec says. */
export type DecodeImage = (bytes: Buffer, codec: ImageCodec) => Promise<Uint8Array>;

export interface InputOf {
  readonly module: string;
  readonly flavor: ModuleManifest['flavor'];
  /** The only input of the model; asked where the codec names none. */
  readonly tensor: () => Promise<string>;
  readonly decodeImage: DecodeImage;
}

/** Larger texts are left to the process of the module, so that reading them holds nobody else up. */
const maxCheckedBytes = 64 * 1024;
const json = { 'content-type': 'application/json' };

/** @throws RouteFault `undecodable`, `too-large` */
export async function encodeInput(bytes: Buffer, codec: RouteCodec, to: InputOf): Promise<ModuleRequest> {
  const infer = `/v2/models/${to.module}/infer`;
  if (codec === 'bytes') {
    return { path: `/score/${to.module}`, headers: { 'content-type': 'application/octet-stream' }, body: bytes };
  }
  if (codec === 'json') {
    refuseOtherThanJson(bytes);
    return { path: to.flavor === 'onnx' ? infer : `/score/${to.module}`, headers: json, body: bytes };
  }
  const { image } = codec;
  const numbers = await decoded(bytes, image, to.decodeImage);
  const head = Buffer.from(
    JSON.stringify({
      inputs: [
        {
          name: image.tensor ?? (await to.tensor()),
          shape: imageShape(image),
          datatype: image.datatype,
          parameters: { binary_data_size: numbers.byteLength },
        },
      ],
    }),
  );
  return {
    path: infer,
    headers: { 'content-type': 'application/octet-stream', 'inference-header-content-length': String(head.length) },
    body: Buffer.concat([head, numbers]),
  };
}

function refuseOtherThanJson(bytes: Buffer): void {
  if (bytes.length > maxCheckedBytes) return;
  try {
    JSON.parse(bytes.toString('utf8'));
  } catch {
    throw new RouteFault('undecodable', `it is not JSON: ${JSON.stringify(bytes.toString('utf8', 0, 40))}`);
  }
}

async function decoded(bytes: Buffer, image: ImageCodec, decodeImage: DecodeImage): Promise<Uint8Array> {
  try {
    return await decodeImage(bytes, image);
  } catch (error) {
    if (error instanceof AppError) throw new RouteFault('undecodable', error.message);
    throw error;
  }
}
