/** Endpoints over a real service host: a process beside the control plane, with replicas of its own, over TLS. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { canonicalJson } from '#shared/protocol/canonical-json.js';
import { generateSigningKey } from '#shared/package/signing-key.js';
import { FlotillaClient } from '#cloud/client/flotilla-client.js';
import { learnAuthority } from '#cloud/client/server-authority.js';
import type { ScoreAnswer } from '#cloud/client/score-endpoint.js';
import type { EndpointStatusBody } from '#cloud/http/schemas/endpoints.js';
import { ServiceHostProcess } from '#cloud/services/host/service-host-process.js';
import { TrustChain } from '#cloud/trust/trust-chain.js';
import { systemClock } from '#shared/kernel/clock.js';
import { CliHarness, type CliRun } from '#test/support/cli/cli-harness.js';
import { type CloudParts, openCloudParts } from '#test/support/cloud-parts.js';
import { digitsFolder } from '#test/support/scoring-harness.js';
import { signedImage } from '#test/support/services/service-world.js';
import { temporaryFolder } from '#test/support/temporary-folder.js';
import { signTrust, trustDocument } from '#test/support/trust-documents.js';

const folder = temporaryFolder();
const at = '2026-01-01T00:00:00.000Z';
const publisher = generateSigningKey();
const digit = join(digitsFolder, 'fixtures/digit.json');
let parts: CloudParts;
let cli: CliHarness;
let token: string;

const open = (): Promise<CloudParts> =>
  openCloudParts(folder('data'), (control) => control, { flags: { 'http-tls': 'generated', 'services-port': '0' } });
const run = (...args: readonly string[]): Promise<CliRun> =>
  cli.run(args, { url: parts.url, token, authority: parts.authority });

async function json<T>(...args: readonly string[]): Promise<T> {
  const { exit, stdout, stderr } = await run(...args, '--output', 'json');
  if (exit !== 0) throw new Error(`exit ${String(exit)}: ${stderr}`);
  return JSON.parse(stdout) as T;
}

beforeAll(async () => {
  parts = await open();
  token = parts.token;
  cli = await CliHarness.make();
  const image = await signedImage(join(folder('data'), 'blobs'), digitsFolder, publisher);
  const { control } = parts.ground;
  await control
    .insertInto('images')
    .values({
      ...{ workspace: 'default', name: image.name, version: 1, digest: image.digest, manifestSize: image.size },
      ...{ flavor: 'node', size: 1000, signatureDigest: image.signature.digest, signatureSize: image.signature.size },
      ...{ keyIdsJson: '[]', tagsJson: '{}', createdAt: at, deletedAt: null },
    })
    .execute();
  const document = trustDocument(1, [publisher], [publisher], { workspace: 'default' });
  await new TrustChain(control).add('default', { version: 1, envelope: signTrust(document, publisher) }, at);
}, 60_000);

afterAll(async () => {
  // In this order: a control plane that runs starts another.
  await parts.stop();
  if (parts.door instanceof ServiceHostProcess) await parts.door.stop();
  await cli.remove();
});

describe('an endpoint over a service host', () => {
  it('answers whoever has its key, by the deployment that the traffic leads to', async () => {
    expect(await parts.door.running()).toBeUndefined();
    await json('endpoint', 'create', 'numbers');
    const created = await run(
      ...['deployment', 'create', 'blue', '--endpoint', 'numbers', '--image', 'digits:1', '--all-traffic'],
    );
    expect(created).toMatchObject({ exit: 0, stdout: 'numbers/blue is ready, and answers every request\n' });
    await expect.poll(async () => (await run('endpoint', 'invoke', 'numbers', '--input', digit)).exit).toBe(0);
    const { stdout, stderr } = await run('endpoint', 'invoke', 'numbers', '--input', digit);
    expect(canonicalJson(JSON.parse(stdout))).toContain('outputs');
    expect(stderr).toBe('answered by blue\n');
    await expect(score('wrong')).rejects.toMatchObject({ code: 'auth.invalid' });
  });

  it('goes on while the control plane is away, with the replicas that it had', async () => {
    const { primary } = await json<{ primary: string }>('endpoint', 'keys', 'show', 'numbers');
    const before = await json('deployment', 'show', 'blue', '--endpoint', 'numbers');
    const url = await scoreUrl();
    await parts.stop();
    expect((await scoreAt(url, primary)).status).toBe(200);
    parts = await open();
    const after = await json('deployment', 'show', 'blue', '--endpoint', 'numbers');
    expect(processesIn(after)).toEqual(processesIn(before));
    await json('endpoint', 'keys', 'regenerate', 'numbers', '--slot', 'primary');
    await expect.poll(() => score(primary).catch((error: { code: string }) => error.code)).toBe('auth.invalid');
  });

  it('fails a deployment whose image nobody counts for any more, with the reason', async () => {
    const other = generateSigningKey();
    const next = trustDocument(2, [other], [other], { workspace: 'default', withdrawn: [publisher.publicKey] });
    const envelope = signTrust(next, publisher, other);
    await new TrustChain(parts.ground.control).add('default', { version: 2, envelope }, at);
    const { exit, stderr } = await run(
      ...['deployment', 'create', 'green', '--endpoint', 'numbers', '--image', 'digits:1'],
    );
    expect(exit).toBe(3);
    expect(stderr).toContain('is signed by nobody whom workspace default trusts');
  });

  it('leaves no service host behind when it is deleted', async () => {
    await json('endpoint', 'delete', 'numbers', '--force');
    await expect.poll(() => parts.door.running(), { timeout: 20_000 }).toBeUndefined();
  });
});

async function scoreUrl(): Promise<URL> {
  const { status } = await json<{ status: EndpointStatusBody }>('endpoint', 'show', 'numbers');
  return new URL(status.scoreUrl ?? '');
}

async function score(bearer: string): Promise<ScoreAnswer> {
  return scoreAt(await scoreUrl(), bearer);
}

async function scoreAt(url: URL, bearer: string): Promise<ScoreAnswer> {
  const authority = await learnAuthority(url, parts.authority);
  const client = new FlotillaClient({
    ...{ url, token: undefined, workspace: 'default', authority, userAgent: 'test', clock: systemClock },
    ...{ random: Math.random, signal: new AbortController().signal },
  });
  return client.score({ url, bearer, deployment: undefined, body: await readFile(digit, 'utf8') });
}

function processesIn(shown: unknown): string[] {
  const { status } = shown as { status: EndpointStatusBody['deployments'][number] };
  return status.replicas.map(({ process: name }) => name ?? '');
}
