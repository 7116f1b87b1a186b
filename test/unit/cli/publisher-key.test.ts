import { chmod, readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ensurePublisherKey, publisherKeyPath } from '#cloud/cli/publisher-key.js';
import { CliHarness } from '#test/support/cli/cli-harness.js';

let cli: CliHarness;
beforeEach(async () => {
  cli = await CliHarness.make();
});
afterEach(() => cli.remove());

const shown = async (): Promise<{ publicKey: string; keyId: string }> => {
  const { stdout } = await cli.run(['keys', 'show', '--output', 'json']);
  return JSON.parse(stdout) as { publicKey: string; keyId: string };
};

describe("this machine's publisher key", () => {
  it('is made once, for its owner alone, and shown without its private half', async () => {
    const { exit, stdout } = await cli.run(['keys', 'init', '--output', 'json']);
    expect(exit).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ made: true });
    expect((await stat(publisherKeyPath(cli.home))).mode & 0o777).toBe(0o600);
    const before = await shown();
    const again = await cli.run(['keys', 'init']);
    expect(again.stdout).toContain('exists already');
    expect(await shown()).toEqual(before);
    expect(stdout + (await cli.run(['keys', 'show'])).stdout).not.toContain('PRIVATE');
  });

  it('is one, when several ask for the first at once', async () => {
    const made = await Promise.all(Array.from({ length: 8 }, () => ensurePublisherKey(cli.home)));
    expect(new Set(made.map(({ key }) => key.publicKey)).size).toBe(1);
    expect(made.filter((each) => each.made)).toHaveLength(1);
    expect(await readdir(join(cli.home, 'keys'))).toEqual(['publisher.pem']);
  });

  it('is refused when others can read it', async () => {
    await cli.run(['keys', 'init']);
    await chmod(publisherKeyPath(cli.home), 0o644);
    const { exit, stderr } = await cli.run(['keys', 'show']);
    expect(exit).toBe(2);
    expect(stderr).toContain('can be read by others than its owner; chmod 600');
  });

  it('that is no key is named, and not replaced', async () => {
    await cli.run(['keys', 'init']);
    await writeFile(publisherKeyPath(cli.home), 'not a key');
    const { exit, stderr } = await cli.run(['keys', 'init']);
    expect(exit).toBe(2);
    expect(stderr).toContain('publisher.pem');
  });

  it('that is missing is not made by show', async () => {
    const { exit, stderr } = await cli.run(['keys', 'show']);
    expect(exit).toBe(2);
    expect(stderr).toContain('flotilla keys init');
  });
});
