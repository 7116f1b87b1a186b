import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Digest } from '#shared/protocol/primitives.js';
import { AppError } from '#shared/kernel/errors.js';
import type { BlobStore } from '#cloud/store/blob-store.js';
import { readRangeHeader } from './byte-range.js';

/** Streams a blob, or the part that was asked for. The digest is its strong validator: it can never change. */
export async function sendBlob(
  request: FastifyRequest,
  reply: FastifyReply,
  store: BlobStore,
  digest: Digest,
): Promise<FastifyReply> {
  const size = await store.size(digest);
  if (size === undefined) throw new AppError('blob.not-found', `blob ${digest} is not on disk: upload it again`);
  const etag = `"${digest}"`;
  reply.header('etag', etag).header('accept-ranges', 'bytes').type('application/octet-stream');
  if (request.headers['if-none-match'] === etag) return reply.code(304).send();

  const condition = request.headers['if-range'];
  const wanted = condition === undefined || condition === etag ? request.headers.range : undefined;
  const answer = readRangeHeader(wanted, size);
  if (answer.kind === 'unsatisfiable') {
    throw new AppError('request.range', `the blob has ${String(size)} bytes; the range asked for begins after them`);
  }
  const range = answer.kind === 'part' ? answer.range : undefined;
  if (range) {
    reply.code(206).header('content-range', `bytes ${String(range.start)}-${String(range.end)}/${String(size)}`);
  }
  reply.header('content-length', range ? range.end - range.start + 1 : size);
  if (request.method === 'HEAD') return reply.send();
  return reply.send(await store.open(digest, range));
}
