/** Every kind of file in the state folder, damaged in every way, and what a start makes of it. */
import { execFile } from 'node:child_process';
import { chmod, cp, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { CommandJournal } from '#agent/commands/command-journal.js';
import { KeptTrust, trustDocument } from '#agent/identity/device-trust.js';
import { type Identity, identityDocument } from '#agent/identity/identity.js';
import { layBallast } from '#agent/store/ballast.js';
import { BlobCache } from '#agent/store/blob-cache.js';
import { readControlToken } from '#agent/store/control-token.js';
import { openLivedTime } from '#agent/store/lived-time.js';
import { StateDocuments } from '#agent/store/state-documents.js';
import { prepareStateFolder, type StateFolder, stateFolder } from '#agent/store/state-folder.js';
import { takeStateLock } from '#agent/store/state-lock.js';
import { Spool } from '#agent/telemetry/spool.js';
import { spoolFilePath } from '#agent/telemetry/spool-folder.js';
import { systemClock } from '#shared/kernel/clock.js';
import { errorCodeOf } from '#test/support/agent/error-code.js';
import { digestOf } from '#shared/package/digest.js';
import { openSpool, spoolOptions } from '#test/support/agent/open-spool.js';

const run = promisify(execFile);
const blob = Buffer.from('the bytes of a small blob of some length');
const digest = digestOf(blob);
const pem = (kind: string): string => `-----BEGIN ${kind}-----\nMAo=\n-----END ${kind}-----\n`;
const identity = {
  schema: 2,
  workspace: 'w',
  device: 'd',
  gateway: 'https://127.0.0.1:1',
  broker: { url: 'mqtts://127.0.0.1:2', serverName: 'x' },
  certificate: pem('CERTIFICATE'),
  privateKey: pem('PRIVATE KEY'),
  sealingKey: pem('PRIVATE KEY'),
  enrolledAt: '2026-01-01T00:00:00.000Z',
} satisfies Identity;
const key = 'A'.repeat(43);

const damages = {
  empty: () => Buffer.alloc(0),
  'cut in half': (bytes: Buffer) => bytes.subarray(0, bytes.length / 2),
  'one byte short': (bytes: Buffer) => bytes.subarray(0, -1),
  'full of nulls': (bytes: Buffer) => Buffer.alloc(bytes.length),
  'changed by a bit': (bytes: Buffer) => {
    const changed = Buffer.from(bytes);
    changed[Math.floor(changed.length * 0.7)] = (changed[Math.floor(changed.length * 0.7)] ?? 0) ^ 1;
    return changed;
  },
} as const;
type Damage = keyof typeof damages | 'missing' | 'as it was, with a stale temporary file beside it' | 'open to others';
const allDamages: readonly Damage[] = [
  ...(Object.keys(damages) as (keyof typeof damages)[]),
  'missing',
  'as it was, with a stale temporary file beside it',
  'open to others',
];
const isHarmless = (damage: Damage): boolean => damage.startsWith('as it was') || damage === 'open to others';

let folder: StateFolder;
const said: string[] = [];
const documents = (): StateDocuments => new StateDocuments(folder, (path, what) => said.push(`${path}: ${what}`));
const committedOf = (generation: number) => ({ generation, modules: {}, kept: {} });

let template: string;
/** A device in its second boot, everything written twice where things have a predecessor. */
beforeAll(async () => {
  template = await mkdtemp(join(tmpdir(), 'fd-'));
  folder = stateFolder(template);
  await prepareStateFolder(folder);
  await (await takeStateLock(folder.lock)).release();
  await identityDocument(folder.identity).write(identity);
  const state = documents();
  for (const generation of [1, 2]) {
    await state.nextBootId(0);
    await state.committed.write(committedOf(generation));
    await state.rejections.write({ generation, modules: {} });
    await state.desired.write({
      envelope: { payloadType: 't', payload: '', signatures: [{ keyid: String(generation), sig: '' }] },
      acceptedAt: `2026-01-0${String(generation)}T00:00:00.000Z`,
    });
    await trustDocument(folder.trust).write({
      version: generation,
      directors: [key],
      publishers: [key],
      threshold: 1,
      withdrawn: [],
      authorities: [pem('CERTIFICATE')],
    });
    await state.lived.write({ machine: { bootId: 'm', uptimeSeconds: 5 }, livedSeconds: generation * 1000 });
  }
  const journal = await CommandJournal.open(folder.commands, () => undefined);
  await journal.begin('command-1', { issuedAt: '2026-01-01T00:00:00.000Z', deadline: '2026-01-01T00:01:00.000Z' });
  await readControlToken(folder.controlToken);
  await new BlobCache(folder).put(digest, blob);
  await layBallast(folder.ballast);
  const spool = await Spool.open(spoolOptions({ folder: folder.spool('telemetry'), bootId: 1 }));
  for (let n = 1; n <= 3; n++) await spool.add({ n });
  await spool.close();
});
afterAll(() => rm(template, { recursive: true, force: true }));
beforeEach(async () => {
  said.length = 0;
  folder = stateFolder(await mkdtemp(join(tmpdir(), 'fd-')));
  await cp(template, folder.root, { recursive: true });
});
afterEach(() => rm(folder.root, { recursive: true, force: true }));

async function spoil(path: string, damage: Damage): Promise<void> {
  if (damage === 'missing') await rm(path);
  else if (damage === 'open to others') await chmod(path, 0o666);
  else if (damage.startsWith('as it was')) await writeFile(`${path}.new`, '{"half a');
  else await writeFile(path, damages[damage as keyof typeof damages](await readFile(path)));
}

/** What a start reads, and what that must be. */
interface Expectation {
  readonly path: () => string;
  readonly read: () => Promise<unknown>;
  readonly whole: unknown;
  /** Of any damage. */
  readonly damaged: unknown;
  /** Where it is another. */
  readonly but?: Partial<Record<Damage, unknown>>;
  /** Nobody but its owner may read it afterwards. */
  readonly isSecret?: boolean;
}

const generationOf = async (name: 'committed' | 'rejections'): Promise<unknown> => {
  const state = documents();
  return (await (name === 'committed' ? state.readOrLose(state.committed) : state.readOrLose(state.rejections)))
    ?.generation;
};
const sequences = async (): Promise<unknown> => {
  const spool = await openSpool({ folder: folder.spool('telemetry'), bootId: 2 });
  const names = spool.pending(undefined, 10);
  for (const name of names) expect(await spool.read(name)).toMatchObject({ n: name.sequence });
  return names.map(({ sequence }) => sequence);
};

const expectations: Record<string, Expectation> = {
  'the committed set': { path: () => folder.committed, read: () => generationOf('committed'), whole: 2, damaged: 1 },
  'the rejections': { path: () => folder.rejections, read: () => generationOf('rejections'), whole: 2, damaged: 1 },
  'the desired document': {
    path: () => folder.desired,
    read: async () => {
      const state = documents();
      return (await state.readOrLose(state.desired))?.acceptedAt.slice(0, 10);
    },
    whole: '2026-01-02',
    damaged: '2026-01-01',
  },
  // Never a number that was used.
  'the boot counter': { path: () => folder.boot, read: () => documents().nextBootId(0), whole: 3, damaged: 3 },
  'the age clock': {
    path: () => folder.lived,
    read: async () => {
      const { seconds } = await openLivedTime(documents(), systemClock);
      return Math.floor(seconds() / 1000) % 1000 === 0 ? 'lost' : 'goes on';
    },
    whole: 'goes on',
    damaged: 'goes on',
  },
  'whom it trusts': {
    path: () => folder.trust,
    read: async () => (await KeptTrust.open(folder.trust))?.current().version,
    whole: 2,
    damaged: 1,
    isSecret: true,
  },
  'its identity': {
    path: () => folder.identity,
    read: () =>
      errorCodeOf(
        identityDocument(folder.identity)
          .read()
          .then((found) => (found ? 'ok' : 'not enrolled')),
      ),
    whole: 'ok',
    damaged: 'state.corrupt',
    but: { missing: 'not enrolled' },
    isSecret: true,
  },
  'a command': {
    path: () => join(folder.commands, 'command-1.json'),
    read: async () => (await CommandJournal.open(folder.commands, (path) => said.push(path))).look('command-1').kind,
    whole: 'begun',
    // Whatever it was, it is not run again.
    damaged: 'begun',
    but: { missing: 'new' },
  },
  'the control token': {
    path: () => folder.controlToken,
    read: async () => (await readControlToken(folder.controlToken)).length,
    whole: 43,
    damaged: 43,
    isSecret: true,
  },
  'a blob': {
    path: () => new BlobCache(folder).pathOf(digest),
    read: async () => (await new BlobCache(folder).read(digest, 1000))?.length,
    whole: blob.length,
    // Fetched again, and never used.
    damaged: undefined,
  },
  'a file of the spool': {
    path: () => spoolFilePath(folder.spool('telemetry'), { bootId: 1, sequence: 1 }, 'batches'),
    read: sequences,
    whole: [1, 2, 3],
    damaged: [],
    but: { 'cut in half': [1], 'one byte short': [1, 2], 'changed by a bit': [1, 2] },
  },
  'the lock': {
    path: () => `${folder.lock}.1`,
    read: async () => {
      const lock = await takeStateLock(folder.lock);
      await lock.release();
      return 'taken';
    },
    whole: 'taken',
    damaged: 'taken',
  },
  'the ballast': {
    path: () => folder.ballast,
    read: async () => {
      await layBallast(folder.ballast);
      return (await stat(folder.ballast)).size;
    },
    whole: 256 * 1024,
    damaged: 256 * 1024,
  },
};

describe.each(Object.entries(expectations))('%s', (_name, { path, read, whole, damaged, but = {}, isSecret }) => {
  it.each(allDamages)('that is %s: a start makes the best of it', async (damage) => {
    await spoil(path(), damage);
    const expected = isHarmless(damage) ? whole : damage in but ? but[damage] : damaged;
    await prepareStateFolder(folder);
    expect(await read()).toEqual(expected);
    if (isSecret === true && damage === 'open to others') expect((await stat(path())).mode & 0o077).toBe(0);
  });
});

describe('a state folder on a read-only disk', () => {
  it('refuses to start with the reason and the remedy, and is as it was when it is writable again', async (context) => {
    const mounted = await run('mount', ['--bind', folder.root, folder.root]).then(
      () => run('mount', ['-o', 'remount,ro,bind', folder.root]).then(() => true),
      () => false,
    );
    if (!mounted) return context.skip('mounting needs root');
    try {
      for (const start of [() => takeStateLock(folder.lock), () => documents().nextBootId(0)]) {
        await expect(start()).rejects.toMatchObject({
          code: 'disk.failed',
          message: expect.stringMatching(/read-only.*mount it writable/) as string,
        });
      }
      expect(await generationOf('committed')).toBe(2);
    } finally {
      await run('umount', [folder.root]);
    }
    expect(await documents().nextBootId(0)).toBe(3);
    expect((await readdir(folder.root)).filter((name) => name.endsWith('.new'))).toEqual([]);
  });
});
