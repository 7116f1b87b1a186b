/** The passwords of the two users that are no devices, made at first start and kept in one 0600 file each. */
import { join } from 'node:path';
import * as z from 'zod';
import { AppError, messageOf } from '#shared/kernel/errors.js';
import { writeFileAtomic } from '#shared/platform/atomic-file.js';
import { makePrivateFolder, readTextIfPresent } from '#shared/platform/private-file.js';
import { newSecret } from './broker-password.js';

const accountSchema = z.object({ user: z.string().min(1), password: z.string().min(16) });
export type BrokerAccount = z.infer<typeof accountSchema>;

/** Plain JSON, since people read it: `folder/<user>.json`. */
export async function ensureBrokerAccount(folder: string, user: string): Promise<BrokerAccount> {
  const path = join(folder, `${user}.json`);
  const found = await readAccount(path);
  if (found) return found;
  const account = { user, password: newSecret() };
  await makePrivateFolder(folder);
  await writeFileAtomic(path, `${JSON.stringify(account)}\n`, { mode: 0o600 });
  return account;
}

async function readAccount(path: string): Promise<BrokerAccount | undefined> {
  const text = await readTextIfPresent(path);
  if (text === undefined) return undefined;
  try {
    return accountSchema.parse(JSON.parse(text));
  } catch (error) {
    throw new AppError('state.corrupt', `${path} is no broker account: remove it and a new one is made`, {
      details: { reason: messageOf(error).slice(0, 200) },
    });
  }
}
