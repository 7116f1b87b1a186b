/** A service host in this process, over real scoring hosts, a blob store on disk and the front. */
import { mkdir, stat } from 'node:fs/promises';
import { request } from 'node:http';
import { join } from 'node:path';
import { systemClock } from '#shared/kernel/clock.js';
import { buildImage } from '#shared/package/build-image.js';
import { encodeEnvelope, signImage } from '#shared/package/image-signature.js';
import { blobPath, writeBlob, writeLayout } from '#shared/package/oci-layout.js';
import type { SigningKey } from '#shared/package/signing-key.js';
import type { ImageReference } from '#shared/protocol/desired.js';
import {
  type DesiredDeployment,
  desiredDeploymentSchema,
  type DesiredServices,
} from '#cloud/services/desired-services.js';
import type { DeploymentStatus } from '#cloud/services/services-status.js';

/** Signed by the publisher, in the blob store at `blobs`. */
export async function signedImage(
  blobs: string,
  moduleFolder: string,
  publisher: SigningKey,
  version = 1,
): Promise<ImageReference> {
  await mkdir(blobs, { recursive: true });
  await writeLayout(blobs);
  const built = await buildImage({ moduleFolder, layout: blobs, log: () => undefined });
  const { name, digest, flavor } = built;
  const signature = await writeBlob(blobs, encodeEnvelope(signImage({ schema: 1, digest, name, flavor }, publisher)));
  return { name, version, digest, size: (await stat(blobPath(blobs, digest))).size, signature };
}

export function deploymentOf(
  image: ImageReference,
  more: Partial<Record<keyof DesiredDeployment, unknown>> & { readonly replicas?: number } = {},
): DesiredDeployment {
  const { replicas = 1, ...rest } = more;
  return desiredDeploymentSchema.parse({
    ...{ name: 'blue', revision: 1, image, scale: { kind: 'fixed', replicas } },
    // Azure's are of ten seconds and more.
    liveness: { initialDelaySeconds: 60, periodSeconds: 1 },
    readiness: { initialDelaySeconds: 0, periodSeconds: 1 },
    ...rest,
  });
}

export function servicesOf(generation: number, ...deployments: readonly DesiredDeployment[]): DesiredServices {
  return {
    schema: 1,
    generation,
    issuedAt: '2026-11-26T00:00:00.000Z',
    endpoints: [
      {
        ...{ id: 'e-1', workspace: 'default', name: 'numbers', auth: { mode: 'none' } },
        traffic: deployments[0] === undefined ? {} : { [deployments[0].name]: 100 },
        deployments: [...deployments],
      },
    ],
  };
}

/** Waits until it holds; the status then. */
export async function until(
  look: () => Promise<DeploymentStatus | undefined>,
  holds: (status: DeploymentStatus) => boolean,
): Promise<DeploymentStatus> {
  let last: DeploymentStatus | undefined;
  for (let tries = 0; tries < 1200; tries++) {
    last = await look();
    if (last !== undefined && holds(last)) return last;
    await systemClock.sleep(25);
  }
  throw new Error(`it did not come to be: ${JSON.stringify(last)}`);
}

export const ready = (status: DeploymentStatus): boolean =>
  status.state === 'healthy' && status.replicas.every(({ state }) => state === 'ready');

/** An answer of a replica or of the front. */
export function ask(
  where: { readonly socketPath: string } | { readonly host: string; readonly port: number },
  path: string,
  body: string,
): Promise<{ readonly status: number; readonly text: string; readonly headers: Readonly<Record<string, unknown>> }> {
  return new Promise((resolve, reject) => {
    const headers = { host: 'localhost', 'content-type': 'application/json' };
    const asked = request({ ...where, path, method: 'POST', headers, agent: false }, (answer) => {
      let text = '';
      answer.setEncoding('utf8');
      answer.on('data', (piece: string) => (text += piece));
      answer.on('end', () => resolve({ status: answer.statusCode ?? 0, text, headers: answer.headers }));
    });
    asked.on('error', reject);
    asked.end(body);
  });
}

export const folders = (root: string): { folder: string; blobs: string } => ({
  folder: join(root, 'host'),
  blobs: join(root, 'blobs'),
});
