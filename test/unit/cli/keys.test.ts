import { chmod, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { exportPrivateKeyPem, generateSigningKey } from '#shared/package/signing-key.js';
import { encryptKey } from '#cloud/cli/keys/encrypted-key.js';
import { KeyFolder } from '#cloud/cli/keys/key-folder.js';
import { CliHarness, type CliRun, type CliSetup } from '#test/support/cli/cli-harness.js';

const passphrase = 'correct horse battery staple';
/** For keys that a test writes itself: scrypt costs half a second a key otherwise. */
const cheap = { N: 2, r: 1, p: 1 };

let cli: CliHarness;
beforeEach(async () => {
  cli = await CliHarness.make();
});
afterEach(() => cli.remove());

const path = (...names: string[]): string => join(cli.home, 'keys', ...names);
const keys = (...args: string[]): Promise<CliRun> => cli.run(['keys', ...args]);
const asked = (args: string[], setup: CliSetup): Promise<CliRun> => cli.run(['keys', ...args], setup);
const json = async <T>(...args: string[]): Promise<T> =>
  JSON.parse((await keys(...args, '--output', 'json')).stdout) as T;
interface Listed {
  keys: { name: string; role: string; kind: string; publicKey: string; keyId: string }[];
  known: { name: string; publicKey: string }[];
}
async function passphraseFile(text = `${passphrase}\n`): Promise<string> {
  const file = join(cli.home, 'passphrase');
  await writeFile(file, text, { mode: 0o600 });
  return file;
}
async function plant(name: string): Promise<string> {
  const key = generateSigningKey();
  await keys('init', '--plain', '--name', 'to-make-the-folder');
  await keys('remove', 'to-make-the-folder');
  await writeFile(path(`${name}.key`), encryptKey(key, passphrase, cheap), { mode: 0o600 });
  return key.publicKey;
}

describe('a key without a passphrase', () => {
  it('is made when that is asked for, for its owner alone, and shown without its private half', async () => {
    const { exit, stdout } = await keys('init', '--plain', '--output', 'json');
    expect(exit).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ made: true, kind: 'plain' });
    expect((await stat(path('publisher.pem'))).mode & 0o777).toBe(0o600);
    const before = await json('show');
    expect((await keys('init', '--plain')).stdout).toContain('exists already');
    expect(await json('show')).toEqual(before);
    expect(stdout + (await keys('show')).stdout + (await keys('list')).stdout).not.toContain('PRIVATE');
  });

  it('is not made by a script that did not say so', async () => {
    const { exit, stderr } = await keys('init');
    expect(exit).toBe(3);
    expect(stderr).toContain('--passphrase-file');
    expect(await readdir(cli.home)).toEqual([]);
  });

  it('is one, when several ask for the first at once', async () => {
    const folder = new KeyFolder(cli.home);
    const made = await Promise.all(
      Array.from({ length: 8 }, () => folder.writeNew('publisher', generateSigningKey(), undefined)),
    );
    expect(made.filter(Boolean)).toHaveLength(1);
    expect(await readdir(path())).toEqual(['publisher.pem']);
  });

  it('is refused when others can read it', async () => {
    await keys('init', '--plain');
    await chmod(path('publisher.pem'), 0o644);
    const { exit, stderr } = await keys('show');
    expect(exit).toBe(2);
    expect(stderr).toContain('can be read by others than its owner; chmod 600');
  });

  it('that is no key, or cut short, is named and not replaced', async () => {
    await keys('init', '--plain');
    await truncate(path('publisher.pem'), 40);
    const { exit, stderr } = await keys('init', '--plain');
    expect(exit).toBe(2);
    expect(stderr).toContain('publisher.pem');
    expect((await stat(path('publisher.pem'))).size).toBe(40);
  });

  it('that is missing is not made by show', async () => {
    const { exit, stderr } = await keys('show');
    expect(exit).toBe(4);
    expect(stderr).toContain('flotilla keys init');
  });
});

// Each use of a key under a passphrase costs its user, and a guesser, half a second of one core.
describe('a key under a passphrase', { timeout: 60_000 }, () => {
  it('is made from a passphrase file, and opens with it alone', async () => {
    const file = await passphraseFile();
    expect((await keys('init', '--passphrase-file', file)).exit).toBe(0);
    expect(await readdir(path())).toEqual(['publisher.key']);
    expect((await stat(path('publisher.key'))).mode & 0o777).toBe(0o600);
    const folder = new KeyFolder(cli.home);
    const key = await folder.require('publisher');
    expect(key.kind).toBe('encrypted');
    expect((await folder.unlock(key, () => Promise.resolve(passphrase))).publicKey).toBe(key.publicKey);
    await expect(folder.unlock(key, () => Promise.resolve('wrong'))).rejects.toMatchObject({ code: 'key.locked' });
  });

  it('is made from what a person types twice, and not when the two differ or are short', async () => {
    for (const secrets of [
      [passphrase, 'another one'],
      ['short', 'short'],
    ]) {
      expect((await asked(['init'], { secrets })).exit).toBe(2);
      expect((await keys('list')).stdout).toContain('no keys');
    }
    const typed = await asked(['init'], { secrets: [passphrase, passphrase] });
    expect(typed.exit).toBe(0);
    expect(typed.stdout + typed.stderr).not.toContain(passphrase);
  });

  it('says nothing of itself when it was changed or cut short', async () => {
    const publicKey = await plant('publisher');
    expect((await json<{ publicKey: string }>('show')).publicKey).toBe(publicKey);
    const whole = await readFile(path('publisher.key'), 'utf8');
    const other = generateSigningKey().publicKey;
    const folder = new KeyFolder(cli.home);
    const unlock = async (): Promise<unknown> =>
      folder.unlock(await folder.require('publisher'), () => Promise.resolve(passphrase));

    await writeFile(path('publisher.key'), whole.replace(publicKey, other));
    await expect(unlock()).rejects.toMatchObject({ code: 'key.locked' });
    await writeFile(path('publisher.key'), whole.slice(0, -20));
    const cut = await keys('show');
    expect(cut.exit).toBe(2);
    expect(cut.stderr).toContain('cut short');
    await writeFile(path('publisher.key'), whole.replace('"N": 2', '"N": 1073741824'));
    await expect(unlock()).rejects.toMatchObject({ code: 'key.invalid' });
  });

  it('comes from one that had none; the plain file goes', async () => {
    await keys('init', '--plain');
    const before = await json<{ publicKey: string }>('show');
    const { exit, stdout } = await keys('encrypt', '--passphrase-file', await passphraseFile());
    expect(exit).toBe(0);
    expect(stdout).toContain('under its passphrase now');
    expect(await readdir(path())).toEqual(['publisher.key']);
    expect((await json<{ publicKey: string }>('show')).publicKey).toBe(before.publicKey);
    expect((await keys('encrypt', '--passphrase-file', await passphraseFile())).stdout).toContain('already');
  });

  it('of which an interrupted encrypt left a plain copy loses that copy at the next', async () => {
    await plant('publisher');
    await writeFile(path('publisher.pem'), exportPrivateKeyPem(generateSigningKey()), { mode: 0o600 });
    await keys('encrypt', '--passphrase-file', await passphraseFile());
    expect(await readdir(path())).toEqual(['publisher.key']);
  });

  it.each([
    ['that others can read', 0o644, `${passphrase}\n`, 'chmod 600'],
    ['that is empty', 0o600, '\n', 'first line is empty'],
  ])('takes no passphrase from a file %s', async (_what, mode, text, said) => {
    const file = await passphraseFile(text);
    await chmod(file, mode);
    const { exit, stderr } = await keys('init', '--passphrase-file', file);
    expect(exit).toBe(2);
    expect(stderr).toContain(said);
  });
});

describe('a key that something else looks after', () => {
  it('is made or taken where it lies, and only pointed at', async () => {
    const file = join(cli.home, 'secrets/publisher.pem');
    expect((await keys('init', '--name', 'ci', '--key-file', file)).exit).toBe(0);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    const made = await json<{ publicKey: string }>('show', 'ci');
    await keys('init', '--name', 'same', '--key-file', file);
    expect((await json<{ publicKey: string }>('show', 'same')).publicKey).toBe(made.publicKey);

    await writeFile(file, exportPrivateKeyPem(generateSigningKey()));
    const folder = new KeyFolder(cli.home);
    await expect(
      folder.unlock(await folder.require('ci'), () => Promise.reject(new Error('not asked'))),
    ).rejects.toMatchObject({ code: 'key.invalid' });
    await rm(file);
    await keys('remove', 'ci');
    expect(await readdir(path())).toEqual(['same.held']);
  });
});

describe('several keys', () => {
  it('are listed with what each does; only one signs, and may not be removed by mistake', async () => {
    await keys('init', '--plain');
    await keys('init', '--plain', '--name', 'second');
    await keys('use', 'second');
    const { keys: listed } = await json<Listed>('list');
    expect(listed.map(({ name, role }) => [name, role])).toEqual([
      ['publisher', 'spare'],
      ['second', 'signs'],
    ]);
    const refused = await keys('remove', 'second');
    expect(refused.exit).toBe(5);
    expect((await keys('remove', 'publisher')).exit).toBe(0);
  });

  it('sign together from the beginning of a rotation to its end', async () => {
    await keys('init', '--plain');
    const begun = await keys('rotate', '--plain');
    expect(begun.exit).toBe(0);
    expect(begun.stdout).toContain('flotilla trust propose --publish');
    expect((await json<Listed>('list')).keys.map(({ name, role }) => [name, role])).toEqual([
      ['publisher', 'signs along'],
      ['publisher-2', 'signs'],
    ]);
    expect((await keys('rotate', '--plain')).exit).toBe(5);
    expect((await keys('rotate', '--finish')).stdout).toContain('--withdraw publisher --publish');
    await keys('rotate', '--plain');
    expect((await json<Listed>('list')).keys.map(({ name }) => name)).toEqual([
      'publisher',
      'publisher-2',
      'publisher-3',
    ]);
  });
});

describe('another publisher', () => {
  it.each(['as 43 characters', 'as PEM'])('is known by a name once their key came, %s', async (form) => {
    const theirs = await CliHarness.make();
    try {
      await theirs.run(['keys', 'init', '--plain']);
      const pem = form === 'as PEM' ? ['--pem'] : [];
      const exported = await theirs.run(['keys', 'export-public', ...pem]);
      const imported = await cli.run(['keys', 'import-public', '-', '--name', 'alice'], { stdin: exported.stdout });
      expect(imported.exit).toBe(0);
      const shown = await theirs.run(['keys', 'show', '--output', 'json']);
      const { publicKey } = JSON.parse(shown.stdout) as { publicKey: string };
      expect((await json<Listed>('list')).known).toMatchObject([{ name: 'alice', publicKey }]);
    } finally {
      await theirs.remove();
    }
  });

  it('is not known by what is no public key, nor under a name that is taken', async () => {
    const secret = exportPrivateKeyPem(generateSigningKey());
    for (const stdin of ['', 'AAAA', secret]) {
      const { exit, stderr } = await cli.run(['keys', 'import-public', '-', '--name', 'alice'], { stdin });
      expect(exit).toBe(2);
      expect(stderr).not.toContain(secret.split('\n')[1]);
    }
    await keys('init', '--plain', '--name', 'alice');
    expect((await keys('import-public', generateSigningKey().publicKey, '--name', 'alice')).exit).toBe(5);
    await keys('import-public', generateSigningKey().publicKey, '--name', 'bob');
    expect((await keys('import-public', generateSigningKey().publicKey, '--name', 'bob')).exit).toBe(5);
  });
});
