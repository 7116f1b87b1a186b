import { describe, expect, it } from 'vitest';
import type { ModuleReport } from '#shared/protocol/reported.js';
import type { candidateStates } from '#shared/protocol/reported.js';
import { type DeployTarget, failedAttempts, judgeDeployment } from '#cloud/cli/deploy-verdict.js';
import type { DeviceBody } from '#cloud/http/schemas/devices.js';

const digest = `sha256:${'1'.repeat(64)}`;
const other = `sha256:${'2'.repeat(64)}`;
const at = '2026-01-02T03:04:05.678Z';
const target: DeployTarget = { generation: 5, module: 'digits', digest, refusedBeforeAt: undefined };
const gone: DeployTarget = { ...target, digest: undefined };

interface Circumstance {
  readonly desiredGeneration?: number;
  readonly desiredDigest?: string | undefined;
  readonly online?: boolean;
  readonly retiredAt?: string;
  readonly generation?: number;
  readonly converged?: boolean;
  readonly modules?: Record<string, ModuleReport>;
  readonly refused?: DeviceBody['reported']['refused'];
}

function device(circumstance: Circumstance): DeviceBody {
  const desiredDigest = 'desiredDigest' in circumstance ? circumstance.desiredDigest : digest;
  return {
    name: 'cam-1',
    workspace: 'default',
    tags: {},
    enrolledAt: at,
    online: circumstance.online ?? true,
    ...(circumstance.retiredAt === undefined ? {} : { retiredAt: circumstance.retiredAt }),
    desired: {
      generation: circumstance.desiredGeneration ?? 5,
      modules:
        desiredDigest === undefined
          ? {}
          : { digits: { name: 'digits', version: 1, digest: desiredDigest, settings: {} } },
    },
    reported: {
      generation: circumstance.generation ?? 5,
      converged: circumstance.converged ?? false,
      modules: circumstance.modules ?? {},
      ...(circumstance.refused === undefined ? {} : { refused: circumstance.refused }),
    },
  };
}

const candidate = (state: (typeof candidateStates)[number], more: object = {}): ModuleReport => ({
  candidate: { digest, version: 1, state, ...more },
});
const running: ModuleReport = { active: { digest, version: 1, state: 'running', provider: 'cpu' } };

describe('a deployment is done', () => {
  it('when the device has converged on it and runs it', () => {
    const verdict = judgeDeployment(device({ converged: true, modules: { digits: running } }), target);
    expect(verdict).toEqual({ kind: 'done', text: 'digits version 1 answers on cam-1 on cpu' });
  });
  it('when a later generation asks for the same and the device has converged on that', () => {
    const later = device({ desiredGeneration: 7, generation: 7, converged: true, modules: { digits: running } });
    expect(judgeDeployment(later, target).kind).toBe('done');
  });
  it('when only another module keeps the device from converging', () => {
    const modules = { digits: running, gate: { candidate: { digest: other, version: 1, state: 'rejected' as const } } };
    expect(judgeDeployment(device({ modules }), target).kind).toBe('done');
  });
});

describe('a deployment goes on', () => {
  it.each([
    ['the device has not heard of it', device({ generation: 4 }), /is told of generation 5/],
    ['the device is offline', device({ generation: 4, online: false }), /is offline .*waits for it/],
    [
      'an earlier version still answers',
      device({ modules: { digits: { active: { digest: other, version: 1, state: 'running' } } } }),
      /prepared/,
    ],
    [
      'an earlier candidate was rejected',
      device({ modules: { digits: { candidate: { digest: other, version: 1, state: 'rejected' } } } }),
      /prepared/,
    ],
    ['it runs, but with settings of before', device({ modules: { digits: running } }), /switched/],
    [
      'it restarts',
      device({ modules: { digits: { active: { digest, version: 1, state: 'restarting' } } } }),
      /restarting/,
    ],
    [
      'the device converged on an earlier generation',
      device({ generation: 4, converged: true, modules: { digits: running } }),
      /told/,
    ],
    ['it is staged', device({ modules: { digits: candidate('staged') } }), /fetched and verified/],
    ['it is proved', device({ modules: { digits: candidate('proving') } }), /proved/],
  ])('while %s', (_circumstance, state, text) => {
    const verdict = judgeDeployment(state, target);
    expect(verdict.kind).toBe('progress');
    expect(verdict).toHaveProperty('text', expect.stringMatching(text));
  });
  it('with bytes while it is fetched', () => {
    const modules = { digits: candidate('fetching', { numbers: { bytesFetched: 10, bytesTotal: 40 } }) };
    expect(judgeDeployment(device({ modules }), target)).toMatchObject({
      kind: 'progress',
      bytes: { done: 10, total: 40 },
    });
  });
});

describe('a deployment has failed', () => {
  const reason = { code: 'golden.mismatch', message: 'vector 3 differs' };
  it.each([
    ['rejected', 'golden.mismatch'],
    ['failed', 'golden.mismatch'],
  ] as const)('when the candidate was %s, with the reason of the device', (state, code) => {
    const verdict = judgeDeployment(device({ modules: { digits: candidate(state, { reason }) } }), target);
    expect(verdict).toMatchObject({ kind: 'failed', problem: { code } });
    expect(verdict).toHaveProperty('problem.message', expect.stringContaining('vector 3 differs'));
  });
  it('when it stopped, without a reason', () => {
    const modules = { digits: { active: { digest, version: 1, state: 'stopped' as const } } };
    expect(judgeDeployment(device({ modules }), target)).toMatchObject({ problem: { code: 'process.failed' } });
  });
  it('with the code of a newer device in the message', () => {
    const modules = { digits: candidate('rejected', { reason: { code: 'new.code', message: 'why' } }) };
    const verdict = judgeDeployment(device({ modules }), target);
    expect(verdict).toMatchObject({ problem: { code: 'module.invalid' } });
    expect(verdict).toHaveProperty('problem.message', expect.stringContaining('why (new.code)'));
  });
  it('when the device was retired', () => {
    expect(judgeDeployment(device({ retiredAt: at }), target)).toMatchObject({ problem: { code: 'device.retired' } });
  });
  it('when someone deployed something else meanwhile', () => {
    const state = device({ desiredGeneration: 6, desiredDigest: other });
    expect(judgeDeployment(state, target)).toMatchObject({ problem: { code: 'desired.conflict' } });
  });
  it('when someone took it off meanwhile', () => {
    const state = device({ desiredGeneration: 6, desiredDigest: undefined });
    expect(judgeDeployment(state, target)).toMatchObject({ problem: { code: 'desired.conflict' } });
  });
  const refusal = { problem: { code: 'signature.unknown-key', message: 'not the director' }, at };
  it('when the device refused the document of its generation', () => {
    const state = device({ generation: 4, refused: { ...refusal, generation: 5 } });
    expect(judgeDeployment(state, target)).toMatchObject({ problem: { code: 'signature.unknown-key' } });
  });
  it('when the device refused a document that it could not read', () => {
    expect(judgeDeployment(device({ generation: 4, refused: refusal }), target).kind).toBe('failed');
  });
  it.each([
    ['stood before', { refused: refusal }, { refusedBeforeAt: at }],
    ['is of an earlier generation', { refused: { ...refusal, generation: 4 } }, {}],
    ['was followed by an acceptance', { refused: { ...refusal, generation: 5 }, generation: 5 }, {}],
    ['was withdrawn', { refused: null }, {}],
  ])('but not when the refusal %s', (_what, circumstance, more) => {
    expect(judgeDeployment(device({ generation: 4, ...circumstance }), { ...target, ...more }).kind).toBe('progress');
  });
});

describe('a version that stood as failed before the deployment', () => {
  const reason = { code: 'disk.full', message: 'needs 3 MB, 1 MB is free' };
  const failedAfter = (attempts: number): DeviceBody =>
    device({ modules: { digits: candidate('failed', { reason, numbers: { attempts } }) } });
  const again: DeployTarget = { ...target, attemptsBefore: failedAttempts(failedAfter(2), 'digits', digest) };

  it('is waited for until the device has tried it again, with the reason of before', () => {
    const verdict = judgeDeployment(failedAfter(2), again);
    expect(verdict).toMatchObject({ kind: 'progress', text: expect.stringContaining('needs 3 MB') as string });
    expect(judgeDeployment(device({ modules: { digits: candidate('fetching') } }), again).kind).toBe('progress');
  });
  it('has failed when the next attempt has, or the first of other settings', () => {
    for (const attempts of [3, 1]) {
      expect(judgeDeployment(failedAfter(attempts), again)).toMatchObject({ problem: { code: 'disk.full' } });
    }
  });
  it('is another one when its digest is, or when it had not failed', () => {
    expect(failedAttempts(failedAfter(2), 'digits', other)).toBeUndefined();
    expect(failedAttempts(device({ modules: { digits: candidate('fetching') } }), 'digits', digest)).toBeUndefined();
  });
});

describe('a removal', () => {
  it('is done when the device no longer reports the module and has converged', () => {
    expect(judgeDeployment(device({ desiredDigest: undefined, converged: true }), gone).kind).toBe('done');
  });
  it('goes on while the host that answered for the module still drains', () => {
    expect(judgeDeployment(device({ desiredDigest: undefined }), gone).kind).toBe('progress');
  });
  it('goes on while the module is reported, or the device has not heard of it', () => {
    const still = device({ desiredDigest: undefined, modules: { digits: running } });
    expect(judgeDeployment(still, gone).kind).toBe('progress');
    expect(judgeDeployment(device({ desiredDigest: undefined, generation: 4 }), gone).kind).toBe('progress');
  });
  it('has failed when someone deployed the module again', () => {
    expect(judgeDeployment(device({ desiredGeneration: 6 }), gone)).toMatchObject({ kind: 'failed' });
  });
});
