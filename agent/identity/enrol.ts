/**
 * Enrolment: from a one-time token, or a fleet claim's, to an identity on disk. The token's secret leaves this machine
 * only over a connection that was verified against the authority that the token pins; the private keys never do.
 */
import type { Clock } from '#shared/kernel/clock.js';
import { AppError } from '#shared/kernel/errors.js';
import { isName } from '#shared/kernel/names.js';
import { parseEnrolmentToken } from '#shared/protocol/enrolment.js';
import type { Capabilities } from '#shared/protocol/reported.js';
import { type DeviceKeys, makeDeviceKeys } from '#agent/identity/device-keys.js';
import { trustDocument } from '#agent/identity/device-trust.js';
import { gatewayAt } from '#agent/identity/gateway-request.js';
import { askForIdentity } from '#agent/identity/identity-request.js';
import { type Identity, identityDocument, pendingEnrolmentDocument } from '#agent/identity/identity.js';
import { fetchPinnedAuthority } from '#agent/identity/pinned-authority.js';
import type { ProxySettings } from '#agent/link/proxy-choice.js';
import { StateDocuments } from '#agent/store/state-documents.js';
import { forgetDevice, prepareStateFolder, type StateFolder } from '#agent/store/state-folder.js';
import { takeStateLock } from '#agent/store/state-lock.js';

export interface EnrolInput {
  readonly folder: StateFolder;
  readonly token: string;
  /** Instead of the token's: the same server by another address. */
  readonly url?: string;
  /** Absent: the fleet claim names it. */
  readonly device?: string | undefined;
  readonly hardwareId?: string | undefined;
  readonly tags: Readonly<Record<string, string>>;
  readonly capabilities: Capabilities;
  /** Give up an identity that is already here. */
  readonly replace: boolean;
  readonly proxy: ProxySettings;
  /** Told what is waited for; absent: nothing is waited for. */
  readonly onWaiting?: (what: string, retryAfterSeconds: number) => void;
}

/** @throws AppError `already.running` while a daemon uses the folder, and whatever the server says */
export async function enrol(input: EnrolInput, clock: Clock): Promise<Identity> {
  await prepareStateFolder(input.folder);
  const lock = await takeStateLock(input.folder.lock);
  try {
    return await enrolLocked(input, clock);
  } finally {
    await lock.release();
  }
}

async function enrolLocked(input: EnrolInput, clock: Clock): Promise<Identity> {
  const { folder, device } = input;
  const token = parseEnrolmentToken(input.token);
  if (!token.ok) throw new AppError('enrolment.token-invalid', `this is no enrolment token: ${token.error}`);
  const { workspace } = token.value;
  if (device !== undefined) requireName(device);
  const document = identityDocument(folder.identity);
  if (!input.replace) await requireNoIdentity(document, folder);

  const url = parseUrl(input.url ?? token.value.url);
  const server = gatewayAt(url, input.proxy);
  const authority = await fetchPinnedAuthority(server, token.value.authority);

  const pending = pendingEnrolmentDocument(folder.pendingEnrolment);
  const keys = await keysFor(pending, workspace, device);
  const { identity, bootIdAbove, trust } = await askForIdentity(
    { ...input, token: token.value, server, gateway: url.href, authority, keys },
    clock,
  );
  // Nothing of an earlier device is this one's: not its generation, nor what it has not sent yet.
  await document.remove();
  await forgetDevice(folder);
  await new StateDocuments(folder, () => undefined).raiseBootId(bootIdAbove);
  await trustDocument(folder.trust).write(trust);
  await document.write(identity);
  await pending.remove();
  return identity;
}

/** Those of an enrolment of this device that was cut off, or new ones; on disk before they are shown to anybody. */
async function keysFor(
  pending: ReturnType<typeof pendingEnrolmentDocument>,
  workspace: string,
  device: string | undefined,
): Promise<DeviceKeys> {
  const cutOff = (await pending.read().catch(() => undefined))?.value;
  if (cutOff?.workspace === workspace && cutOff.device === device) return cutOff;
  const keys = makeDeviceKeys();
  await pending.write({ workspace, ...(device === undefined ? {} : { device }), ...keys });
  return keys;
}

async function requireNoIdentity(document: ReturnType<typeof identityDocument>, folder: StateFolder): Promise<void> {
  const existing = await document.read().catch((error: unknown) => {
    // A damaged identity is what a new enrolment mends.
    if (error instanceof AppError && error.code === 'state.corrupt') return undefined;
    throw error;
  });
  if (existing === undefined) return;
  const { workspace, device } = existing.value;
  throw new AppError(
    'device.exists',
    `this machine is enrolled as ${workspace}/${device} already (${folder.root}); --replace gives that identity up, --state-dir makes another device`,
  );
}

function requireName(device: string): void {
  if (isName(device)) return;
  throw new AppError(
    'request.invalid',
    `"${device.slice(0, 80)}" cannot name a device: use 1 to 63 of a-z, 0-9 and "-", starting with a letter or digit`,
  );
}

function parseUrl(text: string): URL {
  if (!URL.canParse(text))
    throw new AppError('request.invalid', `--url ${text} is not an address; it looks like https://host:port`);
  const url = new URL(text);
  if (url.protocol !== 'https:')
    throw new AppError('request.invalid', `--url must begin with https://, not ${url.protocol}//`);
  return url;
}
