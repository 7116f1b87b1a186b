import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RunningAgent } from '#agent/main.js';
import { generateSigningKey, type SigningKey } from '#shared/package/signing-key.js';
import type { TrustDocument } from '#shared/protocol/trust.js';
import { buildModule, type BuiltModule, enrolledFolder, removeFolder, run } from '#test/support/agent/agent-harness.js';
import { FakeCloud, until } from '#test/support/agent/fake-cloud.js';
import { signTrust, trustDocument } from '#test/support/trust-documents.js';

const digits = resolve(dirname(fileURLToPath(import.meta.url)), '../../../modules/digits');

/** One device's life, told in order. */
describe('a device whose workspace changes whom it trusts', () => {
  const next = generateSigningKey();
  const stranger = generateSigningKey();
  const nextDirector = generateSigningKey();
  let cloud: FakeCloud;
  let folder: string;
  let agent: RunningAgent;
  let old: BuiltModule;

  const document = (version: number, publishers: SigningKey[], rest: Partial<TrustDocument> = {}): TrustDocument =>
    trustDocument(version, publishers, [cloud.director], {
      workspace: 'lab',
      authorities: [cloud.authorityPem],
      ...rest,
    });
  /** The control plane has a further version, and tells of it. */
  const publish = (value: TrustDocument, ...keys: SigningKey[]): void => {
    cloud.trustVersions[value.version - 1] = signTrust(value, ...keys);
    cloud.publishTrust(cloud.trustVersions.slice(value.version - 1));
  };
  const build = (publisher: SigningKey, version: number): Promise<BuiltModule> =>
    buildModule({
      moduleFolder: digits,
      layout: join(folder, 'layout'),
      publisher,
      version,
      ...(version === 1
        ? {}
        : { models: { digits: join(digits, 'model-v2.onnx') }, goldenFile: join(digits, 'golden-v2.json') }),
    });
  const trust = () => cloud.state.trust;
  const goesBy = (version: number): Promise<void> =>
    until(`version ${String(version)}`, () => trust()?.version === version);

  beforeAll(async () => {
    cloud = await FakeCloud.start();
    folder = await enrolledFolder(cloud);
    cloud.layouts.push(join(folder, 'layout'));
    old = await build(cloud.publisher, 1);
    agent = await run(folder);
  });
  afterAll(async () => {
    await agent.stop();
    await cloud.close();
    await removeFolder(folder);
  });

  it('asks for it when it connects, and goes by what it was enrolled with until there is one', async () => {
    await until('the question', () => cloud.trustGets.length > 0);
    expect(cloud.trustGets).toEqual([0]);
    await goesBy(0);
    cloud.publishDesired(cloud.desiredOf(1, { digits: old.module }));
    await until('an answer', () => cloud.state.modules['digits']?.active?.version === 1);
  });

  it('takes a version that its publisher signed, and refuses the next one of a stranger, who is told', async () => {
    publish(document(1, [cloud.publisher]), cloud.publisher);
    await goesBy(1);
    publish(document(2, [stranger]), stranger);
    await until('a complaint', () => trust()?.problem?.code === 'signature.unknown-key');
    expect(trust()?.version).toBe(1);
    expect(cloud.stored.events.flatMap(({ events }) => events as { type: string }[])).toContainEqual(
      expect.objectContaining({ type: 'trust.refused' }),
    );
  });

  it('fetches what is between when it hears of a later version first', async () => {
    cloud.trustVersions[1] = signTrust(document(2, [cloud.publisher, next]), cloud.publisher, next);
    publish(document(3, [cloud.publisher, next], { threshold: 2 }), cloud.publisher, next);
    await goesBy(3);
    expect(trust()?.problem).toBeUndefined();
  });

  it('asks again before it refuses a director whom it does not know, and obeys the new one', async () => {
    const value = document(4, [cloud.publisher, next], {
      directors: [cloud.director.publicKey, nextDirector.publicKey],
    });
    // It is not told of the version: only the unknown key makes it ask.
    cloud.trustVersions[3] = signTrust(value, cloud.publisher, next);
    cloud.publishDesired(cloud.desiredOf(2, { digits: old.module }), nextDirector);
    await until('generation 2', () => cloud.state.generation === 2);
    expect(trust()?.version).toBe(4);
    expect(cloud.state.refused).toBeUndefined();
    const forged = cloud.desiredOf(3, {});
    cloud.publishDesired(forged, stranger);
    await until('a refusal', () => cloud.state.refused?.problem.code === 'signature.unknown-key');
  });

  it('goes on answering with what a withdrawn publisher signed, says so, and still does after a restart', async () => {
    publish(document(5, [next], { withdrawn: [cloud.publisher.publicKey] }), cloud.publisher, next);
    await goesBy(5);
    await until('the module named', () => trust()?.unsigned.join() === 'digits');
    await agent.stop();
    agent = await run(folder);
    await until('an answer after the restart', () => cloud.presences.at(-1)?.bootId === 2);
    await goesBy(5);
    await until('the module named again', () => trust()?.unsigned.join() === 'digits');
    expect(cloud.state.modules['digits']?.active).toMatchObject({ version: 1 });
  });

  it('refuses another document under the version it goes by, and does not go back to an older one', async () => {
    const other = document(5, [next], { withdrawn: [cloud.publisher.publicKey, stranger.publicKey] });
    // Said until it is seen: a device that has just started may not have subscribed yet.
    const said = setInterval(() => {
      cloud.publishTrust(cloud.trustVersions.slice(3, 4));
      publish(other, next);
    }, 500);
    await until('a complaint', () => trust()?.problem?.code === 'trust.same-version').finally(() =>
      clearInterval(said),
    );
    expect(trust()?.version).toBe(5);
  });

  it('installs nothing that only the withdrawn one signed, and what a publisher who counts signed', async () => {
    const refused = await build(cloud.publisher, 2);
    cloud.publishDesired(cloud.desiredOf(4, { digits: refused.module }));
    await until('the refusal', () => cloud.state.modules['digits']?.candidate?.reason?.code === 'signature.withdrawn');
    expect(cloud.state.modules['digits']?.active).toMatchObject({ version: 1 });

    const signed = await build(next, 2);
    cloud.publishDesired(cloud.desiredOf(5, { digits: signed.module }));
    await until('version 2', () => cloud.state.modules['digits']?.active?.version === 2);
    await until('nothing named', () => trust()?.unsigned.length === 0);
  });
});
