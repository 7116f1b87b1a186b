import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DesiredInbox, type Refusal } from '#agent/link/desired-inbox.js';
import { systemClock } from '#shared/kernel/clock.js';
import { signEnvelope } from '#shared/package/dsse.js';
import { generateSigningKey, type SigningKey } from '#shared/package/signing-key.js';
import { encodeMessage } from '#shared/protocol/decode.js';
import { type Desired, maxDesiredBytes } from '#shared/protocol/desired.js';
import { payloadTypes } from '#shared/protocol/envelope.js';
import { desiredOf, moduleNumber } from '#test/support/agent/reconcile-builders.js';

const director = generateSigningKey();
const signed = (desired: unknown, key: SigningKey = director, type: string = payloadTypes.desired): Uint8Array =>
  encodeMessage(signEnvelope(type, encodeMessage(desired), key));

function makeInbox(current?: Desired, floor = 0) {
  const accepted: [Desired, boolean][] = [];
  const refused: Refusal[] = [];
  const kept: Desired[] = [];
  const inbox = new DesiredInbox(
    {
      clock: systemClock,
      address: { workspace: 'lab', device: 'cam-1' },
      directors: () => [director.publicKey],
      onUnknownDirector: () => Promise.resolve(),
      persist: async (_envelope, desired) => {
        kept.push(desired);
      },
      onAccepted: (desired, renewed) => {
        expect(kept.at(-1)).toEqual(desired);
        accepted.push([desired, renewed]);
      },
      onRefused: (refusal) => refused.push(refusal),
    },
    current,
    floor,
  );
  return { inbox, accepted, refused };
}

const two = desiredOf(2, { digits: moduleNumber(1) });

describe('a desired document', () => {
  it('is accepted when it is signed and newer, and is on disk by then', async () => {
    const { inbox, accepted } = makeInbox(desiredOf(1, {}));
    await inbox.receive(signed(two));
    expect(accepted).toEqual([[two, false]]);
    expect(inbox.desired).toEqual(two);
  });

  it('renews the expiry of the same generation, and is nothing new when it comes again', async () => {
    const { inbox, accepted, refused } = makeInbox(two);
    const renewed = { ...two, issuedAt: '2026-02-01T00:00:00.000Z', expiresAt: '2028-01-01T00:00:00.000Z' };
    await inbox.receive(signed(renewed));
    await inbox.receive(signed(renewed));
    await inbox.receive(new Uint8Array());
    expect(accepted).toEqual([[renewed, true]]);
    expect(refused).toEqual([]);
  });

  const padding = { ...two, release: 'x' };
  it.each<[string, Uint8Array, string]>([
    ['signed by another key', signed(two, generateSigningKey()), 'signature.unknown-key'],
    ['signed as a command', signed(two, director, payloadTypes.command), 'signature.invalid'],
    ['of an older generation', signed(desiredOf(1, {})), 'desired.older-generation'],
    ['of the same generation with other content', signed(desiredOf(2, {})), 'desired.same-generation'],
    ['for another device', signed({ ...two, generation: 3, device: 'cam-2' }), 'desired.wrong-device'],
    ['for another workspace', signed({ ...two, generation: 3, workspace: 'plant' }), 'desired.wrong-device'],
    ['that says more than is understood', signed({ ...padding, generation: 3, extra: 1 }), 'desired.invalid'],
    ['of another schema version', signed({ ...two, generation: 3, schema: 2 }), 'desired.invalid'],
    ['that is too large', new Uint8Array(maxDesiredBytes + 1), 'desired.too-large'],
    ['that is garbage', new Uint8Array([1, 2, 3]), 'desired.invalid'],
  ])('%s is refused and changes nothing', async (_what, bytes, code) => {
    const { inbox, accepted, refused } = makeInbox(two);
    await inbox.receive(bytes);
    expect(refused.map(({ problem }) => problem.code)).toEqual([code]);
    expect(accepted).toEqual([]);
    expect(inbox.desired).toEqual(two);
  });

  it('below what the device has run is refused even when the accepted one was lost', async () => {
    const { inbox, accepted, refused } = makeInbox(undefined, 5);
    await inbox.receive(signed(two));
    expect(refused[0]?.problem.code).toBe('desired.older-generation');
    await inbox.receive(signed({ ...two, generation: 5 }));
    expect(accepted).toHaveLength(1);
  });

  it('never makes the inbox throw or obey, whatever the bytes', async () => {
    const mangled = fc.tuple(fc.nat(2000), fc.nat(255)).map(([at, byte]) => {
      const bytes = signed({ ...two, generation: 3 });
      bytes[at % bytes.length] = byte;
      return bytes;
    });
    await fc.assert(
      fc.asyncProperty(fc.oneof(fc.uint8Array({ maxLength: 300 }), mangled), async (bytes) => {
        const { inbox, accepted } = makeInbox(two);
        await inbox.receive(bytes);
        // A change that JSON or base64 does not see leaves the very document that was signed.
        for (const [desired] of accepted) expect(desired).toEqual({ ...two, generation: 3 });
      }),
    );
  });
});
