/** A request to score, as the framework's routes hand it on. */
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Face } from './faults.js';
import type { LoadedHostedModule } from './hosted-module.js';
import type { ScoringHost } from './scoring-host.js';

export interface Scored {
  readonly host: ScoringHost;
  readonly module: LoadedHostedModule;
  readonly face: Face;
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
  /** Instant of the monotonic clock at which the request was at hand. */
  readonly startedMs: number;
  /** What to answer instead of the request's body: JSON that was made of its query. */
  readonly query: string | undefined;
}
