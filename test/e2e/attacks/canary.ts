/**
 * Secrets are planted wherever one can be, and everything that the system wrote is searched for them: what its
 * processes said, their files, their command lines, and what it answers. Each may stand in the files named for it only.
 */
import { readdir, readFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ProgramFailed } from '#cloud/quickstart/program.js';
import { childrenOf } from '../../support/child-processes.js';
import { type AttackSite, documentIn } from './site.js';

interface Canary {
  readonly what: string;
  /** A part of it that is long enough to be nothing else. */
  readonly secret: string;
  /** Files that it must be in, relative to the folder of the installation. */
  readonly home: readonly string[];
}

/** The longest run of letters in a PEM text, which no wrapping of lines breaks. */
function lineOf(pem: string): string {
  return pem.split('\n')[1]?.slice(0, 60) ?? '';
}

export function canaries(siteOf: () => AttackSite): void {
  describe('secrets', () => {
    const plant = async (): Promise<Canary[]> => {
      const { world } = siteOf();
      const { token: api } = (await world.flotillaJson(
        ...['token', 'create', '--name', 'canary', '--role', 'reader'],
      )) as { token: string };
      const { token: enrolment } = (await world.flotillaJson('device', 'token')) as { token: string };
      const { key: scoring } = JSON.parse(
        await world.agentCommand('cam-1', 'keys', 'create', 'canary', '--output', 'json'),
      ) as { key: string };
      const identity = await documentIn(join(world.folder, 'cam-1/identity.json'));
      const control = (await readFile(join(world.folder, 'cam-1/control-token'), 'utf8')).trim();
      const own = ['cam-1/identity.json', 'cam-1/identity.json.previous'];
      return [
        { what: 'the owner token', secret: world.ownerToken.slice(-20), home: ['operator/context.json'] },
        { what: 'an API token', secret: api.slice(-20), home: [] },
        { what: 'an enrolment token', secret: enrolment.slice(-20), home: [] },
        { what: 'a scoring key', secret: scoring.slice(-20), home: [] },
        { what: 'the control token of a device', secret: control, home: ['cam-1/control-token'] },
        { what: "a device's private key", secret: lineOf(String(identity['privateKey'])), home: own },
        { what: "a device's sealing key", secret: lineOf(String(identity['sealingKey'])), home: own },
        { what: 'a secret in a header', secret: 'canary-in-a-header-4f9d', home: [] },
        { what: 'a secret in a query', secret: 'canary-in-a-query-7b31', home: [] },
        { what: 'a secret in the user part of a URL', secret: 'canary-in-a-url-92c4', home: [] },
        { what: 'a secret in a command line that fails', secret: 'canary-in-a-flag-51aa', home: [] },
      ];
    };

    /** Everything that can go wrong with them, so that whatever would write them down has its chance. */
    const provoke = async (all: readonly Canary[]): Promise<string[]> => {
      const site = siteOf();
      const { world, scoringPort } = site;
      const secret = (what: string): string => all.find((one) => one.what === what)?.secret ?? '';
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
      const broken = [
        world.flotilla('login', `http://${userinfo}:${String(world.ports.api)}`, '--token', `flt_${flag}`),
        world.flotilla('login', world.url, '--token', `flt_${flag}`),
        world.flotilla('cloud', '--broker-kind', 'external', '--broker-url', `mqtts://${userinfo}:1`, '--print-config'),
        world.agentCommand('cam-9', 'enroll', '--name', 'cam-9', '--token', `flotilla-enrol-1.${flag}`),
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
      for (const path of ['/metrics', '/openapi.json', '/readyz']) said.push((await site.api(path)).text);
      return said;
    };

    it('planted everywhere are found nowhere but where they must be', async () => {
      const site = siteOf();
      const { world } = site;
      const all = await plant();
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
      const found = all.flatMap(({ what, secret, home }) => {
        expect(secret.length, what).toBeGreaterThan(15);
        return [...sources]
          .filter(([where, text]) => text.includes(secret) && !home.includes(where))
          .map(([where]) => `${what} in ${where}`);
      });
      expect(found).toEqual([]);
      // The search finds what is there.
      for (const { what, secret, home } of all) {
        const there = home.filter((path) => sources.get(path)?.includes(secret));
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

/** Content of every file, as bytes in text. */
async function filesBelow(folder: string): Promise<[string, string][]> {
  const found: [string, string][] = [];
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const text = await readFile(path, 'latin1').catch(() => '');
    found.push([relative(folder, path), text]);
  }
  return found;
}
