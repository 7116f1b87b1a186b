/** One request to a web service whose body is text already, and its answer as text. */
import { ScoringClient } from './scoring-client.js';
import type { ServerAuthority } from './server-authority.js';

export interface ScoreRequest {
  readonly url: URL;
  /** A key or a token; undefined where the endpoint asks for none. */
  readonly bearer: string | undefined;
  /** The deployment that is to answer; undefined: whichever the traffic leads to. */
  readonly deployment: string | undefined;
  readonly body: string;
}

export interface ScoreAnswer {
  readonly status: number;
  readonly text: string;
  /** Which deployment answered, where it says so. */
  readonly deployment: string | undefined;
}

/** Longer than any deployment may take. */
const timeoutMs = 190_000;

/** @throws AppError as {@link ScoringClient} says */
export async function scoreEndpoint(
  { url, bearer, deployment, body }: ScoreRequest,
  { authority, signal }: { readonly authority?: ServerAuthority | undefined; readonly signal: AbortSignal },
): Promise<ScoreAnswer> {
  const client = new ScoringClient({ url, key: bearer, authority, timeoutMs });
  try {
    return await client.send('/score', body, { deployment, signal });
  } finally {
    client.close();
  }
}
