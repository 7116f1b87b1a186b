import { describe, expect, it } from 'vitest';
import { signEnvelope } from '#shared/package/dsse.js';
import { generateSigningKey } from '#shared/package/signing-key.js';
import { acceptTrust } from '#shared/package/trust-acceptance.js';
import { encodeMessage } from '#shared/protocol/decode.js';
import { payloadTypes } from '#shared/protocol/envelope.js';
import type { Trust } from '#shared/protocol/trust.js';
import { pins, signTrust, trustDocument } from '#test/support/trust-documents.js';

const [old, next, stranger, director, newDirector] = Array.from({ length: 5 }, generateSigningKey) as [
  ReturnType<typeof generateSigningKey>,
  ReturnType<typeof generateSigningKey>,
  ReturnType<typeof generateSigningKey>,
  ReturnType<typeof generateSigningKey>,
  ReturnType<typeof generateSigningKey>,
];

const judge = (envelope: Parameters<typeof acceptTrust>[0], current: Trust) => {
  const verdict = acceptTrust(envelope, { ...current, workspace: 'w' });
  return verdict.ok ? (verdict.value.news ? 'news' : 'known') : verdict.error.code;
};

describe('a device that goes by the pins of its token', () => {
  const pinned = pins([old], [director]);

  it('takes the first version that a pinned publisher signed', () => {
    expect(judge(signTrust(trustDocument(1, [old], [director]), old), pinned)).toBe('news');
  });

  it('begins at a later version too: it was enrolled after the earlier ones', () => {
    expect(judge(signTrust(trustDocument(5, [old], [newDirector]), old), pinned)).toBe('news');
  });

  it('refuses one that the director signed, as a thief of the control plane would', () => {
    const own = trustDocument(1, [director], [director]);
    expect(judge(signTrust(own, director), pinned)).toBe('signature.unknown-key');
  });

  it('refuses one whose payload was changed after it was signed', () => {
    const envelope = signTrust(trustDocument(1, [old], [director]), old);
    const changed = signTrust(trustDocument(1, [old], [newDirector]), old);
    expect(judge({ ...envelope, payload: changed.payload }, pinned)).toBe('signature.invalid');
  });

  it('refuses a signature that was made over another kind of document', () => {
    const bytes = encodeMessage(trustDocument(1, [old], [director]));
    const envelope = { ...signEnvelope(payloadTypes.image, bytes, old), payloadType: payloadTypes.trust };
    expect(judge(envelope, pinned)).toBe('signature.invalid');
  });
});

describe('a device that goes by a version', () => {
  const first = { ...trustDocument(3, [old], [director]) };

  it('takes the next one, signed by its publisher', () => {
    expect(judge(signTrust(trustDocument(4, [old, next], [director]), old), first)).toBe('news');
  });

  it('hears the same version again without news', () => {
    expect(judge(signTrust(first, old), first)).toBe('known');
  });

  it.each([
    ['an older one', 2, [director], 'trust.older-version'],
    ['the same version with another director', 3, [newDirector], 'trust.same-version'],
    ['one that skips a version', 5, [director], 'trust.gap'],
  ] as const)('refuses %s', (_what, version, directors, code) => {
    expect(judge(signTrust(trustDocument(version, [old], directors), old), first)).toBe(code);
  });

  it('refuses a document of another workspace', () => {
    const foreign = trustDocument(4, [old], [director], { workspace: 'other' });
    expect(judge(signTrust(foreign, old), first)).toBe('trust.wrong-workspace');
  });

  it('refuses one that only the newcomer signed', () => {
    expect(judge(signTrust(trustDocument(4, [old, next], [director]), next), first)).toBe('signature.unknown-key');
  });

  it('refuses one that takes its signer out before the successor has signed: nobody might hold that key', () => {
    const without = trustDocument(4, [next], [director], { withdrawn: [old.publicKey] });
    expect(judge(signTrust(without, old), first)).toBe('trust.threshold');
    expect(judge(signTrust(without, old, next), first)).toBe('news');
  });

  it('refuses one signature where two of three must sign, and one key that signs twice', () => {
    const three = trustDocument(3, [old, next, stranger], [director], { threshold: 2 });
    const proposal = trustDocument(4, [old, next, stranger], [newDirector], { threshold: 2 });
    const once = signTrust(proposal, old);
    expect(judge(once, three)).toBe('trust.threshold');
    const [signature] = once.signatures;
    if (signature === undefined) throw new Error('no signature');
    expect(judge({ ...once, signatures: [signature, signature] }, three)).toBe('trust.threshold');
    expect(judge(signTrust(proposal, old, stranger), three)).toBe('news');
  });

  it('refuses one that forgets a withdrawn publisher, or lets them back in', () => {
    const after = trustDocument(4, [old], [director], { withdrawn: [stranger.publicKey] });
    const forgetful = trustDocument(5, [old], [director]);
    expect(judge(signTrust(forgetful, old), after)).toBe('trust.invalid');
    const back = trustDocument(5, [old, stranger], [director], { withdrawn: [stranger.publicKey] });
    expect(judge(signTrust(back, old), after)).toBe('trust.invalid');
  });

  it.each([
    ['no publishers', { publishers: [] }],
    ['nine publishers', { publishers: Array.from({ length: 9 }, () => generateSigningKey().publicKey) }],
    ['one key twice', { publishers: [old.publicKey, old.publicKey] }],
    // The last character's unused bits would make it a second key.
    ['one key in two spellings', { publishers: [old.publicKey, respelled(old.publicKey)] }],
    ['a threshold above its publishers', { threshold: 2 }],
    ['a threshold of none', { threshold: 0 }],
    ['no director', { directors: [] }],
    ['no authority', { authorities: [] }],
    [
      'an authority that is no certificate',
      { authorities: ['-----BEGIN PRIVATE KEY-----\nAA\n-----END PRIVATE KEY-----\n'] },
    ],
    ['a field that it does not know', { also: true }],
    ['another schema', { schema: 2 }],
  ])('refuses a document with %s', (_what, change) => {
    expect(judge(signTrust({ ...trustDocument(4, [old], [director]), ...change }, old), first)).toBe('trust.invalid');
  });
});

function respelled(key: string): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  return key.slice(0, -1) + (alphabet[alphabet.indexOf(key.slice(-1)) + 1] ?? '');
}
