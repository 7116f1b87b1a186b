/**
 * Secrets are planted wherever one can be, and everything that the system wrote is searched for them: what its
 * processes said, their files, their command lines, and what it answers. Each may stand in the files named for it only.
 */
import { readdir, readFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { ProgramFailed } from '#cloud/quickstart/program.js';
import { childrenOf } from '../../support/child-processes.js';
import { type Canary, passphraseFileOf, plantCanaries } from './canary-secrets.js';
import { type AttackSite, digits } from './site.js';

export function canaries(siteOf: () => AttackSite): void {
  describe('secrets', () => {
    /** Everything that can go wrong with them, so that whatever would write them down has its chance. */
    const provoke = async (all: readonly Canary[]): Promise<string[]> => {
      const site = siteOf();
      const { world, scoringPort } = site;
      const secret = (what: string): string => all.find((one) => one.what === what)?.secrets[0] ?? '';
      const said: string[] = [];
      const header = secret('a secret in a header');
      for (const path of [
        '/v1/workspaces/default/devices',
        '/v1/server',
        '/nothing',
        '/v1/workspaces/default/blobs/x',
      ]) {
        const query = `${path}?token=${secret('a secret in a query')}`;
        const answer = await site.api(query, { headers: { cookie: header, 'x-api-key': header } }, header);
        said.push(`${answer.text}${JSON.stringify([...answer.headers])}`);
        said.push((await site.postJson(query, '{"a":', header)).text);
      }
      for (const path of ['/v2/models/digits/infer', '/score', '/nothing']) {
        const url = `http://127.0.0.1:${String(scoringPort)}${path}?token=${secret('a secret in a query')}`;
        const answer = await fetch(url, { method: 'POST', body: '{', headers: { authorization: `Bearer ${header}` } });
        said.push(`${await answer.text()}${JSON.stringify([...answer.headers])}`);
      }
      const userinfo = `user:${secret('a secret in the user part of a URL')}@127.0.0.1`;
      const flag = secret('a secret in a command line that fails');
      const plainKey = join(world.folder, 'operator/keys/publisher.pem');
      const pem = await readFile(plainKey, 'utf8');
      const sealedKey = ['--key', 'sealed', '--passphrase-file'];
      const broken = [
        world.flotilla('login', `http://${userinfo}:${String(world.ports.api)}`, '--token', `flt_${flag}`),
        world.flotilla('login', world.url, '--token', `flt_${flag}`),
        world.flotilla('cloud', '--broker-kind', 'external', '--broker-url', `mqtts://${userinfo}:1`, '--print-config'),
        world.agentCommand('cam-9', 'enroll', '--name', 'cam-9', '--token', `flotilla-enrol-1.${flag}`),
        world.flotilla('keys', 'init', '--name', 'another', '--passphrase', flag),
        // A key's file in the place of its passphrase's, and of another key.
        world.flotilla('image', 'sign', 'digits:1', '--from', digits, ...sealedKey, plainKey),
        world.flotilla('keys', 'import-public', pem, '--name', 'mistaken'),
        world.flotilla('device', 'token', '--publisher', pem),
        world.agentCommand('cam-9', 'status', pem),
        world.flotilla('image', 'sign', 'digits:1', '--from', digits, ...sealedKey, passphraseFileOf(world)),
      ];
      for (const outcome of await Promise.allSettled(broken)) {
        if (outcome.status === 'fulfilled') said.push(outcome.value);
        // Its first line is the command as it was typed.
        else if (outcome.reason instanceof ProgramFailed) said.push(outcome.reason.output);
        else throw outcome.reason;
      }
      for (const command of [['status'], ['explain'], ['logs', '-n', '9999'], ['logs', 'digits'], ['keys', 'list']]) {
        said.push(await world.agentCommand('cam-1', ...command, '--output', 'json'));
      }
      for (const command of [
        ['device', 'show', 'cam-1'],
        ['token', 'list'],
        ['device', 'events', 'cam-1'],
      ]) {
        said.push(await world.flotilla(...command, '--output', 'json'));
      }
      said.push(await world.agentCommand('cam-1', 'bundle', '--to', join(world.folder, 'by-the-agent.tar.gz')));
      said.push(await world.flotilla('device', 'bundle', 'cam-1', '--to', join(world.folder, 'from-afar.tar.gz')));
      for (const path of ['/metrics', '/openapi.json', '/readyz']) said.push((await site.api(path)).text);
      return said;
    };

    it('planted everywhere are found nowhere but where they must be', async () => {
      const site = siteOf();
      const { world } = site;
      const all = await plantCanaries(site);
      const said = await provoke(all);
      const cloud = world.cloud?.output ?? '';
      const sources = new Map<string, string>([
        ['an answer or the output of a command', said.join('\n')],
        // The owner token is shown once, at the first start.
        ['the output of the control plane', cloud.replaceAll(world.ownerToken, '')],
        ['the output of the agent', site.agent.output],
        ['a command line', (await commandLines([world.cloud?.pid ?? 0, site.agent.pid])).join('\n')],
      ]);
      for (const [path, text] of await filesBelow(world.folder)) sources.set(path, text);
      for (const archive of ['by-the-agent.tar.gz', 'from-afar.tar.gz']) {
        expect(sources.get(archive), archive).toContain('bundle.json');
      }
      const found = all.flatMap(({ what, secrets, home }) => {
        for (const secret of secrets) expect(secret.length, what).toBeGreaterThan(15);
        return [...sources]
          .filter(([where, text]) => secrets.some((secret) => text.includes(secret)) && !home.includes(where))
          .map(([where]) => `${what} in ${where}`);
      });
      expect(found).toEqual([]);
      // The search finds what is there.
      for (const { what, secrets, home } of all) {
        const there = home.filter((path) => secrets.some((secret) => sources.get(path)?.includes(secret)));
        if (home.length > 0) expect(there, what).not.toEqual([]);
      }
      expect(sources.size).toBeGreaterThan(20);
    });
  });
}

/** Of processes and all that they started. */
async function commandLines(pids: readonly number[]): Promise<string[]> {
  const lines: string[] = [];
  for (const pid of pids) {
    const read = (file: string): Promise<string> => readFile(`/proc/${String(pid)}/${file}`, 'utf8').catch(() => '');
    lines.push(await read('cmdline'), ...(await commandLines(await childrenOf(pid, ''))));
  }
  return lines;
}

/** Content of every file, as bytes in text; of a compressed one what is in it. */
async function filesBelow(folder: string): Promise<[string, string][]> {
  const found: [string, string][] = [];
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const bytes = await readFile(path).catch(() => Buffer.alloc(0));
    found.push([relative(folder, path), (isGzip(bytes) ? gunzipSync(bytes) : bytes).toString('latin1')]);
  }
  return found;
}

function isGzip(bytes: Buffer): boolean {
  return bytes[0] === 0x1f && bytes[1] === 0x8b && bytes[2] === 8;
}
