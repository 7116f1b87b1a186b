/** A device that asks for keys, as a built agent: who has none gets nothing, and what is taken back counts no more. */
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { ownPort } from '#test/support/own-port.js';
import { runProgram } from '#cloud/quickstart/program.js';
import { repository } from '../../support/world.js';
import { type AttackSite, digits, eventually } from './site.js';

export function keyAttacks(siteOf: () => AttackSite): void {
  describe('a scoring port that asks for keys', () => {
    const name = 'cam-keys';
    let site: AttackSite;
    let url: string;
    let environment: Record<string, string>;
    let digit: string;

    const agent = (...args: readonly string[]): Promise<string> =>
      runProgram({ build: join(repository, 'dist'), name: 'flotilla-agent', args, env: environment });
    const score = async (key?: string): Promise<number> => {
      const headers = {
        'content-type': 'application/json',
        ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
      };
      const answer = await fetch(`${url}/v2/models/digits/infer`, { method: 'POST', headers, body: digit });
      await answer.arrayBuffer();
      return answer.status;
    };
    const keyOf = async (called: string): Promise<string> =>
      (JSON.parse(await agent('keys', 'create', called, '--output', 'json')) as { key: string }).key;

    beforeAll(async () => {
      site = siteOf();
      digit = await readFile(join(digits, 'fixtures/digit.json'), 'utf8');
      const { world } = site;
      const port = await ownPort();
      url = `http://127.0.0.1:${String(port)}`;
      environment = { ...world.agentEnvironment(name, port), FLOTILLA_AGENT_SCORING_ADDRESS: '0.0.0.0' };
      await world.enrol(name);
    });

    it('is not opened to other machines without a key, and is with one', async () => {
      const refused = agent('run');
      await expect(refused).rejects.toThrow(/0\.0\.0\.0 is reachable from other machines.*flotilla-agent keys create/s);
      const key = await keyOf('before-the-start');
      const daemon = site.world.start('flotilla-agent', ['run'], environment);
      await daemon.until('answering', 60_000, () => agent('status').catch(() => undefined));
      await site.world.flotilla('deploy', 'digits:1', '--device', name, '--timeout', '120s');
      expect([await score(), await score('guessed'), await score(key)]).toEqual([401, 401, 200]);
      expect((await fetch(`${url}/metrics`)).status).toBe(401);
      expect((await fetch(`${url}/v2/health/ready`)).status).toBe(200);
    });

    it('knows a key from the moment that it is made to the moment that it is taken back', async () => {
      const key = await keyOf('line-4');
      expect(await score(key)).toBe(200);
      await agent('keys', 'revoke', 'line-4');
      expect(await score(key)).toBe(401);
      expect(await agent('keys', 'list')).toContain('before-the-start');
    });

    it('is opened to the control plane by a command that its director signed', async () => {
      const args = ['score', '--device', name, '--module', 'digits', '--input', join(digits, 'fixtures/digit.json')];
      await expect(site.world.flotilla(...args)).resolves.toContain('probabilities');
    });

    it('and the socket of the agent are for its user alone', async () => {
      expect((await stat(join(site.world.folder, name, 'agent.sock'))).mode & 0o777).toBe(0o600);
      const file = join(site.world.folder, 'a-file-of-somebody');
      await writeFile(file, 'precious');
      const elsewhere = {
        ...environment,
        FLOTILLA_AGENT_STATE_DIR: join(site.world.folder, 'cam-3'),
        FLOTILLA_AGENT_SCORING_PORT: '0',
      };
      const started = runProgram({
        build: join(repository, 'dist'),
        name: 'flotilla-agent',
        args: ['run', '--scoring-access', 'open'],
        env: { ...elsewhere, FLOTILLA_AGENT_LOCAL_SOCKET: file },
      });
      await expect(started).rejects.toThrow(/is no socket/);
      await eventually('the file is there', async () => (await readFile(file, 'utf8')) === 'precious');
    });
  });
}
