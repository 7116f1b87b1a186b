import type { IncomingMessage } from 'node:http';
import * as z from 'zod';
import { AppError } from '#shared/kernel/errors.js';
import { toInstant, type Clock } from '#shared/kernel/clock.js';
import { digestSchema, nameSchema, sizeSchema } from '#shared/protocol/primitives.js';
import type { BlobRepository } from '#cloud/store/blob-repository.js';
import type { BlobStore } from '#cloud/store/blob-store.js';
import type { Routes } from '../app.js';
import { sendBlob } from '../send-blob.js';

export interface BlobRouteDeps {
  readonly store: BlobStore;
  readonly blobs: BlobRepository;
  readonly clock: Clock;
  readonly maxBlobBytes: number;
}

const params = z.object({ workspace: nameSchema, digest: digestSchema });
const path = '/v1/workspaces/:workspace/blobs/:digest';
const tags = ['blobs'];
const storedBlob = z.object({ digest: digestSchema, size: sizeSchema });

export function blobRoutes({ store, blobs, clock, maxBlobBytes }: BlobRouteDeps): Routes {
  return (app) => {
    // The body goes to disk as it comes; the store enforces the limit.
    app.addContentTypeParser('application/octet-stream', (_request, payload, done) => {
      done(null, payload);
    });

    app.head(
      path,
      {
        config: { role: 'reader' },
        schema: { tags, summary: 'Is this blob here? Keeps it from garbage collection for the grace period', params },
      },
      async (request, reply) => {
        const { workspace, digest } = request.params;
        const size = await blobs.find(workspace, digest);
        if (size === undefined || !(await store.touch(digest))) throw unknownBlob(digest);
        await blobs.grant(workspace, { digest, size }, toInstant(clock.now()));
        return sendBlob(request, reply, store, digest);
      },
    );

    app.get(
      path,
      {
        exposeHeadRoute: false,
        config: { role: 'reader', bytes: 'answer' },
        schema: { tags, summary: 'The bytes of a blob; takes Range', params },
      },
      async (request, reply) => {
        const { workspace, digest } = request.params;
        if ((await blobs.find(workspace, digest)) === undefined) throw unknownBlob(digest);
        return sendBlob(request, reply, store, digest);
      },
    );

    app.put(
      path,
      {
        config: { role: 'contributor', bytes: 'body' },
        schema: {
          tags,
          summary: 'Upload a blob as application/octet-stream; refused unless the bytes have this digest',
          consumes: ['application/octet-stream'],
          params,
          response: { 200: storedBlob, 201: storedBlob },
        },
      },
      async (request, reply) => {
        const { workspace, digest } = request.params;
        const announced = Number(request.headers['content-length'] ?? 0);
        if (announced > maxBlobBytes) {
          throw new AppError(
            'request.too-large',
            `${String(announced)} bytes announced, at most ${String(maxBlobBytes)} are allowed (limits.maxBlobBytes)`,
          );
        }
        const body = request.body as IncomingMessage | undefined;
        if (body === undefined) {
          throw new AppError('request.unsupported-type', 'send the bytes as content-type application/octet-stream');
        }
        const known = await blobs.find(workspace, digest);
        const { size } = await store.put(body, { expected: digest, maxBytes: maxBlobBytes });
        await blobs.grant(workspace, { digest, size }, toInstant(clock.now()));
        return reply.code(known === undefined ? 201 : 200).send({ digest, size });
      },
    );
  };
}

function unknownBlob(digest: string): AppError {
  return new AppError('blob.not-found', `there is no blob ${digest} in this workspace: upload it first`);
}
