/**
 * Keeps what passes between a client and a module's script, where this request was chosen: of both bodies the first
 * bytes, and the size and digest of all. What the client gets is not held up.
 */
import { createHash } from 'node:crypto';
import { pipeline, Transform, type Readable } from 'node:stream';
import type { FastifyRequest } from 'fastify';
import { eventStreamType } from '../script-host/problem-header.js';
import type { Scored } from '../host/scored.js';
import type { CollectedBody } from './collected-line.js';
import type { ScriptSample } from './collecting.js';

/** Longer bodies are not parsed on the thread that speaks HTTP. */
const maxKeptBytes = 256 * 1024;

interface PassedAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Readable;
}

/** @param ask begins to read the request's body, and asks the script */
export async function collectScript<A extends PassedAnswer>(
  { host, module, request, query }: Scored,
  ask: () => Promise<A>,
): Promise<A | (Omit<A, 'body'> & { readonly body: Readable })> {
  const sample = host.traffic.collecting?.sampleScript(module, request.id);
  if (sample === undefined) return ask();
  const input = requestBody(request, query);
  const answer = await ask();
  // Of what fails nothing is kept, as of models; and a stream of events may go on for days.
  if (answer.status !== 200 || answer.headers['content-type'] === eventStreamType) return answer;
  return { ...answer, body: passOn(answer.body, input, sample) };
}

/** Of bodies that were read whole. */
export function keptWhole(bytes: Uint8Array): CollectedBody {
  const kept = new KeptBody();
  kept.add(Buffer.from(bytes));
  return kept.end();
}

function requestBody(request: FastifyRequest, query: string | undefined): KeptBody {
  const kept = new KeptBody();
  if (query === undefined) request.raw.on('data', (chunk: Buffer) => kept.add(chunk));
  else kept.add(Buffer.from(query));
  return kept;
}

function passOn(body: Readable, input: KeptBody, sample: ScriptSample): Readable {
  const output = new KeptBody();
  const tap = new Transform({
    transform: (chunk: Buffer, _encoding, done) => {
      output.add(chunk);
      done(null, chunk);
    },
  });
  pipeline(body, tap, (error) => {
    if (!error) sample.done(input.end(), output.end());
  });
  return tap;
}

class KeptBody {
  private readonly hash = createHash('sha256');
  private chunks: Buffer[] = [];
  private length = 0;
  private ended = false;

  /** What comes after a script has answered already is not kept. */
  add(chunk: Buffer): void {
    if (this.ended) return;
    this.hash.update(chunk);
    this.length += chunk.length;
    if (this.length > maxKeptBytes) this.chunks = [];
    else this.chunks.push(chunk);
  }

  end(): CollectedBody {
    this.ended = true;
    return {
      bytes: this.length,
      digest: `sha256:${this.hash.digest('hex')}`,
      text: this.length > maxKeptBytes ? undefined : Buffer.concat(this.chunks),
    };
  }
}
