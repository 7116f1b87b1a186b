/**
 * Brings a source into a file of ours while its digest is taken, never more than the limit of it. Nothing
 * reads the file before the digest is the one that was asked for; otherwise it is gone again.
 */
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { get } from 'node:https';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { AppError, messageOf } from '#shared/kernel/errors.js';
import { diskError, errno } from '#shared/platform/atomic-file.js';
import { checkAddress, type LibrarySource, shownAddress } from './library-source.js';

export interface FetchLimits {
  readonly maxBytes: number;
  /** Without a byte for so long, a server is given up. */
  readonly idleMs: number;
  /** A certificate authority besides the system's: for tests. */
  readonly ca?: string;
}

const maxRedirects = 5;

/** @throws AppError `blob.digest-mismatch`, `archive.too-large`, `server.unreachable`, `request.*`, `disk.*` */
export async function fetchSource(source: LibrarySource, target: string, limits: FetchLimits): Promise<void> {
  const hash = createHash('sha256');
  const { body, total } = source.kind === 'file' ? fromFile(source.path) : await fromAddress(source.url, limits);
  const counted = async function* (): AsyncGenerator<Buffer> {
    let bytes = 0;
    for await (const chunk of body) {
      const part = chunk as Buffer;
      bytes += part.length;
      if (bytes > limits.maxBytes) throw tooLarge(source, limits);
      hash.update(part);
      yield part;
    }
    if (total !== undefined && bytes !== total) {
      const came = `${String(bytes)} of ${String(total)} bytes`;
      throw new AppError('server.unreachable', `${source.shown} was cut off after ${came}: try again`);
    }
  };
  try {
    if (total !== undefined && total > limits.maxBytes) throw tooLarge(source, limits);
    await pipeline(counted, createWriteStream(target, { flags: 'wx', mode: 0o600 }));
    const digest = hash.digest('hex');
    if (digest !== source.sha256) {
      throw new AppError(
        'blob.digest-mismatch',
        `${source.shown} has sha256 ${digest}, not the ${source.sha256} that was given: nothing was installed`,
      );
    }
  } catch (error) {
    body.destroy();
    await rm(target, { force: true });
    throw asAppError(error, source);
  }
}

interface Incoming {
  readonly body: Readable;
  readonly total: number | undefined;
}

function fromFile(path: string): Incoming {
  return { body: createReadStream(path), total: undefined };
}

async function fromAddress(first: URL, limits: FetchLimits): Promise<Incoming> {
  let url = first;
  for (let hop = 0; hop <= maxRedirects; hop++) {
    const response = await request(url, limits);
    const { statusCode = 0, headers } = response;
    if (statusCode === 200) {
      const length = Number(headers['content-length']);
      return { body: response, total: Number.isSafeInteger(length) ? length : undefined };
    }
    response.destroy();
    if (![301, 302, 303, 307, 308].includes(statusCode) || headers.location === undefined) {
      throw new AppError('server.unreachable', `${shownAddress(url)} answered ${String(statusCode)}`);
    }
    url = nextAddress(headers.location, url);
  }
  throw new AppError('server.unreachable', `${shownAddress(first)} leads on more than ${String(maxRedirects)} times`);
}

function nextAddress(location: string, from: URL): URL {
  if (!URL.canParse(location, from.href)) {
    throw new AppError('server.unreachable', `${shownAddress(from)} leads on to what is no address`);
  }
  const url = new URL(location, from);
  checkAddress(url);
  return url;
}

function request(url: URL, { idleMs, ca }: FetchLimits): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    // Compression would make the length and the digest those of something else.
    const headers = { 'accept-encoding': 'identity' };
    const asked = get(url, { headers, timeout: idleMs, ...(ca === undefined ? {} : { ca }) }, resolve);
    asked.on('timeout', () => asked.destroy(new Error(`nothing came for ${String(idleMs / 1000)} s`)));
    asked.on('error', (error) => {
      reject(new AppError('server.unreachable', `${shownAddress(url)} cannot be reached: ${messageOf(error)}`));
    });
  });
}

function tooLarge({ shown }: LibrarySource, { maxBytes }: FetchLimits): AppError {
  return new AppError('archive.too-large', `${shown} is larger than ${String(maxBytes)} bytes: nothing was installed`);
}

function asAppError(error: unknown, source: LibrarySource): AppError {
  if (error instanceof AppError) return error;
  if (source.kind === 'url' && errno(error) !== 'ENOSPC') {
    return new AppError('server.unreachable', `${source.shown} broke off: ${messageOf(error)}`, { cause: error });
  }
  if (source.kind === 'file' && ['ENOENT', 'EISDIR', 'EACCES'].includes(errno(error) ?? '')) {
    return new AppError('request.invalid', `--from ${source.shown} cannot be read: ${messageOf(error)}`);
  }
  return diskError(error, `cannot keep ${source.shown}`);
}
