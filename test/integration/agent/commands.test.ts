import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { CommandJournal } from '#agent/commands/command-journal.js';
import { CommandRunner, maxResultBytes, type OperationExecutors } from '#agent/commands/command-runner.js';
import { systemClock, toInstant } from '#shared/kernel/clock.js';
import { AppError } from '#shared/kernel/errors.js';
import { signEnvelope } from '#shared/package/dsse.js';
import { generateSigningKey } from '#shared/package/signing-key.js';
import type { CommandResponse } from '#shared/protocol/commands.js';
import { encodeMessage } from '#shared/protocol/decode.js';
import { payloadTypes } from '#shared/protocol/envelope.js';
import { until } from '#test/support/agent/fake-cloud.js';
import { temporaryFolder } from '#test/support/temporary-folder.js';

const director = generateSigningKey();
const address = { workspace: 'lab', device: 'cam-1' };

describe('a direct command', () => {
  const path = temporaryFolder();
  let made = 0;
  let folder: string;
  beforeEach(async () => {
    made += 1;
    folder = path(`commands-${String(made)}`);
    await mkdir(folder, { recursive: true });
  });

  const start = async (executors: Partial<OperationExecutors> = {}, now = Date.now()) => {
    const responses: CommandResponse[] = [];
    const refused: string[] = [];
    const runs: string[] = [];
    const runner = new CommandRunner({
      clock: systemClock,
      address,
      directors: () => [director.publicKey],
      journal: await CommandJournal.open(folder, () => undefined),
      executors: {
        ping: async () => {
          runs.push('ping');
          return { agentVersion: '1', uptimeSeconds: runs.length };
        },
        restart: async () => {
          runs.push('restart');
          return {};
        },
        score: async () => ({ status: 200, headers: {}, output: 'x'.repeat(maxResultBytes) }),
        logs: async () => ({ lines: [] }),
        refresh: async () => ({ generation: 1 }),
        explain: async () => ({ explanation: null }),
        check: async () => ({ findings: [] }),
        bundle: async () => ({ digest: `sha256:${'0'.repeat(64)}`, size: 0 }),
        'bundle-read': async () => ({ bytes: '' }),
        ...executors,
      },
      respond: async (response) => {
        responses.push(response);
        return true;
      },
      trustedNow: () => now,
      onSignedTime: () => undefined,
      onRefused: (_id, { code }) => refused.push(code),
      onError: () => undefined,
    });
    return { runner, responses, refused, runs };
  };
  const request = (id: string, more: object = {}, key = director): Uint8Array => {
    const times = { issuedAt: toInstant(Date.now()), deadline: toInstant(Date.now() + 5000) };
    const body = {
      schema: 1,
      id,
      ...address,
      ...times,
      operation: 'restart',
      arguments: { module: 'digits' },
      ...more,
    };
    return encodeMessage(signEnvelope(payloadTypes.command, encodeMessage(body), key));
  };

  it('runs once, and gives the same answer to a repeated request, after a restart too', async () => {
    const first = await start();
    first.runner.receive('a', request('a'));
    await until('answered', () => first.responses.length === 1);
    first.runner.receive('a', request('a'));
    await until('answered again', () => first.responses.length === 2);
    const second = await start();
    second.runner.receive('a', request('a'));
    await until('answered', () => second.responses.length === 1);
    expect([...first.responses, ...second.responses]).toEqual(Array(3).fill(first.responses[0]));
    expect([...first.runs, ...second.runs]).toEqual(['restart']);
  });

  it('that only reads runs again when it is repeated, and leaves nothing on disk', async () => {
    const { runner, responses, runs } = await start();
    const ping = request('a', { operation: 'ping', arguments: {} });
    runner.receive('a', ping);
    await until('answered', () => responses.length === 1);
    runner.receive('a', ping);
    await until('answered again', () => responses.length === 2);
    expect(runs).toEqual(['ping', 'ping']);
    expect(await readdir(folder)).toEqual([]);
  });

  it('is not run again after hundreds of others, as long as its deadline has not passed', async () => {
    const first = await start();
    const bytes = request('a', { deadline: toInstant(Date.now() + 60_000) });
    first.runner.receive('a', bytes);
    await until('answered', () => first.responses.length === 1);
    const later = { issuedAt: toInstant(Date.now()), deadline: toInstant(Date.now() + 90_000) };
    for (let n = 0; n < 510; n++) first.runner.receive(`b${String(n)}`, request(`b${String(n)}`, later));
    await until('answered', () => first.responses.length === 511);
    first.runner.receive('a', bytes);
    await until('answered', () => first.responses.length === 512);
    const second = await start();
    second.runner.receive('a', bytes);
    await until('answered', () => second.responses.length === 1);
    expect(second.responses).toEqual(first.responses.slice(0, 1));
    expect([first.runs.length, second.runs.length]).toEqual([511, 0]);
  });

  it('that was cut off is not run again, and says that its effect is not known', async () => {
    const journal = await CommandJournal.open(folder, () => undefined);
    await journal.begin('a', { issuedAt: toInstant(Date.now()), deadline: toInstant(Date.now() + 5000) });
    const { runner, responses, runs } = await start();
    runner.receive('a', request('a'));
    await until('answered', () => responses.length === 1);
    expect(responses[0]?.outcome).toMatchObject({ kind: 'failed', problem: { code: 'process.failed' } });
    expect(runs).toEqual([]);
  });

  it('whose record is damaged is not run again', async () => {
    await writeFile(join(folder, 'a.json'), 'garbage');
    const { runner, responses, runs } = await start();
    runner.receive('a', request('a'));
    await until('answered', () => responses.length === 1);
    expect(runs).toEqual([]);
  });

  it('past its deadline by trusted time is neither run nor answered', async () => {
    const { runner, responses, refused, runs } = await start({}, Date.now() + 60_000);
    runner.receive('a', request('a'));
    await until('refused', () => refused.length === 1);
    await runner.stop();
    expect({ refused, responses, runs }).toEqual({ refused: ['command.expired'], responses: [], runs: [] });
  });

  it.each<[string, () => Uint8Array, string]>([
    ['signed by another key', () => request('a', {}, generateSigningKey()), 'signature.unknown-key'],
    ['for another device', () => request('a', { device: 'cam-2' }), 'desired.wrong-device'],
    ['under another id than its topic', () => request('b'), 'desired.wrong-device'],
    ['with an unknown operation', () => request('a', { operation: 'reboot' }), 'message.malformed'],
    ['that is garbage', () => new Uint8Array([1]), 'message.malformed'],
  ])('%s is refused without an answer', async (_what, bytes, code) => {
    const { runner, responses, refused } = await start();
    runner.receive('a', bytes());
    await runner.stop();
    expect(refused).toEqual([code]);
    expect(responses).toEqual([]);
  });

  it('whose answer is too large, or that fails, says so', async () => {
    const { runner, responses } = await start({
      restart: async () => {
        throw new AppError('module.not-found', 'no such module');
      },
    });
    runner.receive('a', request('a', { operation: 'score', arguments: { module: 'digits', input: {} } }));
    runner.receive('b', request('b', { operation: 'restart', arguments: { module: 'digits' } }));
    await until('answered', () => responses.length === 2);
    const codes = responses.map(({ id, outcome }) => [id, outcome.kind === 'failed' ? outcome.problem.code : 'done']);
    expect(Object.fromEntries(codes)).toEqual({ a: 'message.too-large', b: 'module.not-found' });
  });

  it('that cannot be recorded is not run, and says so; recorded too late it is answered all the same', async () => {
    // Where there is no folder every write fails, as on a full disk.
    const failWrites = async (): Promise<void> => {
      await rename(folder, `${folder}-away`);
      await writeFile(folder, '');
    };
    const { runner, responses, runs } = await start({
      score: async () => {
        await failWrites();
        return { status: 200, headers: {}, output: 'done' };
      },
    });
    await failWrites();
    runner.receive('c-1', request('c-1'));
    await until('answered', () => responses.length === 1);
    expect(runs).toEqual([]);
    expect(responses[0]).toMatchObject({ outcome: { kind: 'failed', problem: { code: 'disk.failed' } } });

    await rm(folder);
    await rename(`${folder}-away`, folder);
    runner.receive('c-2', request('c-2', { operation: 'score', arguments: { module: 'digits', input: 1 } }));
    await until('answered', () => responses.length === 2);
    expect(responses[1]).toMatchObject({ outcome: { kind: 'done', result: { output: 'done' } } });
  });
});
