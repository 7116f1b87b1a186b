/** What the control plane has of a workspace's trust. Its word on who counts is judged by devices, and by who signs. */
import { AppError } from '#shared/kernel/errors.js';
import { readTrustPayload } from '#shared/package/trust-acceptance.js';
import type { TrustDocument } from '#shared/protocol/trust.js';
import type { FlotillaClient } from '#cloud/client/flotilla-client.js';
import { routes } from '#cloud/client/routes.js';
import type { TrustBody } from '#cloud/http/schemas/trust.js';

export interface TrustState extends Omit<TrustBody, 'envelope'> {
  /** The newest version; undefined while devices go by what their tokens pinned. */
  readonly document: TrustDocument | undefined;
}

export async function readTrustState(client: FlotillaClient): Promise<TrustState> {
  const { envelope, ...state } = await client.call(routes.trustGet, {});
  if (envelope === null) return { ...state, document: undefined };
  const read = readTrustPayload(envelope);
  if (read.ok) return { ...state, document: read.value };
  throw new AppError('server.incompatible', `the control plane's trust document cannot be read: ${read.error.message}`);
}
