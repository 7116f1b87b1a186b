/** System users and groups, of this machine or of an image that is being made in a folder. */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { AppError, messageOf } from '#shared/kernel/errors.js';
import { errno } from '../atomic-file.js';

const run = promisify(execFile);

/** The number that a line of `passwd` or `group` gives a name; undefined where there is no such line. */
export function accountId(text: string, name: string): number | undefined {
  const line = text.split('\n').find((one) => one.startsWith(`${name}:`));
  const id = line?.split(':')[2] ?? '';
  return /^\d{1,10}$/.test(id) ? Number(id) : undefined;
}

export class Accounts {
  /** @param root where the machine's files begin: `/`, or the folder of an image */
  constructor(private readonly root: string) {}

  async group(name: string): Promise<number | undefined> {
    return this.lookUp('group', name);
  }

  async user(name: string): Promise<number | undefined> {
    return this.lookUp('passwd', name);
  }

  async addGroup(name: string): Promise<void> {
    await this.ask('groupadd', ['--system', name], `make the system group ${name} yourself`);
  }

  async addUser(name: string, group: string, home: string): Promise<void> {
    const args = ['--system', '--gid', group, '--home-dir', home, '--no-create-home', '--shell', '/usr/sbin/nologin'];
    await this.ask('useradd', [...args, name], `make the system user ${name} with the group ${group} yourself`);
  }

  async removeUser(name: string): Promise<void> {
    await this.ask('userdel', [name], `remove the user ${name} yourself`);
  }

  async removeGroup(name: string): Promise<void> {
    await this.ask('groupdel', [name], `remove the group ${name} yourself`);
  }

  private async lookUp(file: 'group' | 'passwd', name: string): Promise<number | undefined> {
    return accountId(await readFile(join(this.root, 'etc', file), 'utf8').catch(() => ''), name);
  }

  /** These programs stand in the folders of administrators, which a PATH may lack. */
  private async ask(program: string, args: readonly string[], otherwise: string): Promise<void> {
    const elsewhere = this.root === '/' ? [] : ['--prefix', this.root];
    const env = { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` };
    try {
      await run(program, [...elsewhere, ...args], { env, timeout: 60_000 });
    } catch (error) {
      const why = errno(error) === 'ENOENT' ? `there is no ${program} here` : messageOf(error);
      throw new AppError('process.failed', `${why}; ${otherwise}, and run this again`, { cause: error });
    }
  }
}
