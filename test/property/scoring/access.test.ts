import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseAuthority } from '#shared/scoring/access/authority.js';
import { readHostName, readOrigin } from '#shared/scoring/access/access-settings.js';
import { loopbackAccess } from '#shared/scoring/access/host-access.js';
import { judgeRequest } from '#shared/scoring/access/judge-request.js';

/** Headers as a socket may bring them, near to good ones and far from them. */
const header = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 300 }),
  fc
    .array(
      fc.constantFrom('localhost', '127.0.0.1', '[::1]', ':', '.', '@', '/', 'evil.example', '8800', 'http://', ' '),
    )
    .map((parts) => parts.join('')),
);
const question = fc.record({
  host: fc.option(header, { nil: undefined }),
  origin: fc.option(header, { nil: undefined }),
  fetchSite: fc.option(header, { nil: undefined }),
  isPreflight: fc.boolean(),
  isHealth: fc.boolean(),
});

describe('the judgement of a request', () => {
  it('is given for whatever stands in the headers, and never lets in a name but localhost', () => {
    fc.assert(
      fc.property(question, (asked) => {
        const verdict = judgeRequest(loopbackAccess, asked, () => 'none');
        if (verdict.kind === 'refused' || asked.host === undefined) return;
        const { hostname } = new URL(`http://${asked.host}`);
        expect(hostname).toMatch(/^(localhost\.?|127\.\d+\.\d+\.\d+|\[::1\])$/);
        if (asked.origin !== undefined) expect(new URL(asked.origin).host).toBe(new URL(`http://${asked.host}`).host);
      }),
    );
  });

  it('without a key is a refusal wherever keys are asked for, health apart', () => {
    fc.assert(
      fc.property(question, fc.constantFrom('none', 'unknown'), (asked, credential) => {
        const verdict = judgeRequest({ ...loopbackAccess, mode: 'keys', corsOrigins: ['*'] }, asked, () => credential);
        const open = asked.isHealth || verdict.kind === 'preflight';
        expect(verdict.kind === 'refused' || open).toBe(true);
      }),
    );
  });
});

describe('settings and headers of access', () => {
  it('are read or refused, never thrown at', () => {
    fc.assert(
      fc.property(header, (text) => {
        const authority = parseAuthority(text);
        if (authority !== undefined) expect(authority.name).not.toMatch(/[\s/?#@\\]/);
        const name = readHostName(text);
        if (name !== undefined) expect(parseAuthority(name)?.name).toBe(name);
        const origin = readOrigin(text);
        if (origin !== undefined && origin !== '*') expect(new URL(origin).origin).toBe(origin);
      }),
    );
  });
});
