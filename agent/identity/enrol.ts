/**
 * Enrolment: from a one-time token to an identity on disk. The token's secret leaves this machine only
 * over a connection that was verified against the authority that the token pins.
 */
import { type Clock, toInstant } from '#shared/kernel/clock.js';
import { AppError } from '#shared/kernel/errors.js';
import {
  controlPlaneServerName,
  type EnrolmentRequest,
  enrolmentResponseSchema,
  parseEnrolmentToken,
} from '#shared/protocol/enrolment.js';
import { isName } from '#shared/kernel/names.js';
import type { Capabilities } from '#shared/protocol/reported.js';
import { clientIdOf, type DeviceAddress } from '#shared/protocol/topics.js';
import { type DeviceKeys, makeDeviceKeys, sealingPublicKey, signingRequestFor } from '#agent/identity/device-keys.js';
import { pinnedTrust, trustDocument } from '#agent/identity/device-trust.js';
import { type Identity, identityDocument, pendingEnrolmentDocument } from '#agent/identity/identity.js';
import { checkOwnCertificate } from '#agent/identity/own-certificate.js';
import { postToGateway } from '#agent/identity/gateway-request.js';
import { fetchPinnedAuthority } from '#agent/identity/pinned-authority.js';
import type { ProxySettings } from '#agent/link/proxy-choice.js';
import { forgetDevice, prepareStateFolder, type StateFolder } from '#agent/store/state-folder.js';
import { takeStateLock } from '#agent/store/state-lock.js';

export interface EnrolInput {
  readonly folder: StateFolder;
  readonly token: string;
  /** Instead of the token's: the same server by another address. */
  readonly url?: string;
  readonly device: string;
  readonly tags: Readonly<Record<string, string>>;
  readonly capabilities: Capabilities;
  /** Give up an identity that is already here. */
  readonly replace: boolean;
  readonly proxy: ProxySettings;
}

const timeoutMs = 15_000;

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
  if (!isName(device)) {
    throw new AppError(
      'request.invalid',
      `"${device.slice(0, 80)}" cannot name a device: use 1 to 63 of a-z, 0-9 and "-", starting with a letter or digit`,
    );
  }
  const document = identityDocument(folder.identity);
  if (!input.replace) await requireNoIdentity(document, folder);

  const url = parseUrl(input.url ?? token.value.url);
  const server = {
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: Number(url.port === '' ? 443 : url.port),
    proxy: input.proxy,
    timeoutMs,
  };
  const authority = await fetchPinnedAuthority(server, token.value.authority);

  const { workspace } = token.value;
  const pending = pendingEnrolmentDocument(folder.pendingEnrolment);
  const keys = await keysFor(pending, { workspace, device });
  const commonName = clientIdOf({ workspace, device });
  const body: EnrolmentRequest = {
    workspace,
    secret: token.value.secret,
    device,
    csr: await signingRequestFor(keys.privateKey, commonName),
    sealingKey: sealingPublicKey(keys.sealingKey),
    tags: { ...input.tags },
    capabilities: input.capabilities,
  };
  // No signed time is known yet: the pin alone says whom to believe.
  const expected = { authorities: [authority], name: controlPlaneServerName, trustedNow: Number.NEGATIVE_INFINITY };
  const answer = await postToGateway({ ...server, expected }, '/v1/enrol', body, enrolmentResponseSchema);
  const mismatch = (what: string): AppError => new AppError('enrolment.pin-mismatch', `${what}; nothing of it is kept`);
  if (answer.director !== token.value.director) {
    throw mismatch("the director's key of the server is not the one that the token pins");
  }
  if (answer.device !== device || answer.workspace !== workspace) {
    throw mismatch(`the server enrolled ${answer.workspace}/${answer.device}, not ${commonName}`);
  }
  const checked = checkOwnCertificate(answer.certificate, { commonName, ...keys, authorities: [authority] });
  if (!checked.ok) throw mismatch(`the certificate that the server gave is refused: ${checked.error}`);
  const identity: Identity = {
    schema: 2,
    workspace,
    device,
    gateway: url.href,
    broker: answer.broker,
    certificate: answer.certificate,
    privateKey: keys.privateKey,
    sealingKey: keys.sealingKey,
    enrolledAt: toInstant(clock.now()),
  };
  // Nothing of an earlier device is this one's: not its generation, nor what it has not sent yet.
  await document.remove();
  await forgetDevice(folder);
  await trustDocument(folder.trust).write(
    pinnedTrust({
      directors: [token.value.director],
      publishers: token.value.publishers,
      authorities: [authority],
    }),
  );
  await document.write(identity);
  await pending.remove();
  return identity;
}

/** Those of an enrolment of this device that was cut off, or new ones; on disk before they are shown to anybody. */
async function keysFor(
  pending: ReturnType<typeof pendingEnrolmentDocument>,
  { workspace, device }: DeviceAddress,
): Promise<DeviceKeys> {
  const cutOff = (await pending.read().catch(() => undefined))?.value;
  if (cutOff?.workspace === workspace && cutOff.device === device) return cutOff;
  const keys = makeDeviceKeys();
  await pending.write({ workspace, device, ...keys });
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

function parseUrl(text: string): URL {
  if (!URL.canParse(text))
    throw new AppError('request.invalid', `--url ${text} is not an address; it looks like https://host:port`);
  const url = new URL(text);
  if (url.protocol !== 'https:')
    throw new AppError('request.invalid', `--url must begin with https://, not ${url.protocol}//`);
  return url;
}
