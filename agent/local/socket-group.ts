/** The group whose members may ask the agent over its socket. */
import { readFile } from 'node:fs/promises';
import { AppError } from '#shared/kernel/errors.js';

/**
 * @param group its name in /etc/group, or its number
 * @throws AppError `config.invalid` where there is none of that name
 */
export async function groupId(group: string, groupsFile = '/etc/group'): Promise<number> {
  if (/^\d{1,9}$/.test(group)) return Number(group);
  const text = await readFile(groupsFile, 'utf8').catch(() => '');
  const line = text.split('\n').find((one) => one.startsWith(`${group}:`));
  const id = Number(line?.split(':')[2] ?? '');
  if (line !== undefined && Number.isInteger(id)) return id;
  throw new AppError(
    'config.invalid',
    `local.socketGroup: no group "${group}" in ${groupsFile}; make it (groupadd ${group}), or give its number`,
  );
}
