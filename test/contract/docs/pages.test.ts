import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { agentSettingNames } from '#agent/config-schema.js';
import { cloudSettings } from '#cloud/config.js';
import { repository } from '../../support/repository.js';

const pages = [
  'README.md',
  'CONTRIBUTING.md',
  'CHANGELOG.md',
  ...readdirSync(join(repository, 'docs')).map((name) => `docs/${name}`),
  ...readdirSync(join(repository, 'docs/decisions')).map((name) => `docs/decisions/${name}`),
].filter((name) => name.endsWith('.md'));
const textOf = (page: string): string => readFileSync(join(repository, page), 'utf8');

/** As GitHub makes them of headings. */
function anchorsOf(text: string): string[] {
  return [...text.matchAll(/^#{1,6} (.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
}

describe.each(pages)('%s', (page) => {
  it('has links that lead somewhere', () => {
    const prose = textOf(page).replaceAll(/^```[\s\S]*?^```/gm, '');
    for (const [, link = ''] of prose.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(link)) continue;
      const [file = '', anchor] = link.split('#');
      const target = file === '' ? join(repository, page) : resolve(dirname(join(repository, page)), file);
      expect(existsSync(target), `${page}: ${link}`).toBe(true);
      if (anchor !== undefined) expect(anchorsOf(readFileSync(target, 'utf8')), `${page}: ${link}`).toContain(anchor);
    }
  });
});

describe.each(['docs/installed.md', 'docs/operate.md', 'docs/from-azure-iot-edge.md'])('what %s names', (page) => {
  const text = textOf(page);
  const helpOf = (program: string, ...args: readonly string[]): string =>
    execFileSync(process.execPath, [join(repository, 'dist', program), ...args, '--help'], { encoding: 'utf8' });
  const commandsIn = (help: string): string[] =>
    [...help.matchAll(/^ {2}([a-z-]+)(?:\|([a-z-]+))?/gm)].flatMap(([, name = '', alias]) => [name, alias ?? name]);
  let agent: string[];
  let cloud: string[];
  beforeAll(() => {
    agent = commandsIn(helpOf('agent/cli/main.js'));
    cloud = commandsIn(helpOf('cloud/cli/main.js'));
  });

  it('are commands that there are', () => {
    for (const [, program = '', command = ''] of text.matchAll(/(?<![/\w.-])(flotilla(?:-agent)?) ([a-z][a-z-]+)/g)) {
      // Arguments of systemctl, journalctl and dpkg, and prose.
      if (/^(flotilla|flotilla-agent|agent)$/.test(command)) continue;
      expect(program === 'flotilla' ? cloud : agent, `${program} ${command}`).toContain(command);
    }
  });

  it('are settings that there are', () => {
    const names = new Set<string>([...agentSettingNames, ...cloudSettings().map(({ path }) => path)]);
    const sections = new Set([...names].map((name) => name.split('.')[0]));
    for (const [, name = ''] of text.matchAll(/`([a-z]+\.[a-zA-Z]+)`/g)) {
      if (sections.has(name.split('.')[0])) expect([...names]).toContain(name);
    }
  });
});
