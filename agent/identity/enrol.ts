/**
 * Enrolment: from a one-time token, or a fleet claim's, to an identity on disk. The token's secret leaves this machine
 * only over a connection that was verified against the authority that the token pins; the private keys never do.
 */
import * as z from 'zod';
import { type Clock, toInstant } from '#shared/kernel/clock.js';
import { AppError } from '#shared/kernel/errors.js';
import { isName } from '#shared/kernel/names.js';
import {
  controlPlaneServerName,
  enrolmentPendingSchema,
  type EnrolmentRequest,
  enrolmentResponseSchema,
  type EnrolmentResponse,
  type EnrolmentToken,
  parseEnrolmentToken,
} from '#shared/protocol/enrolment.js';
import type { Capabilities } from '#shared/protocol/reported.js';
import { clientIdOf } from '#shared/protocol/topics.js';
import { type DeviceKeys, makeDeviceKeys, sealingPublicKey, signingRequestFor } from '#agent/identity/device-keys.js';
import { pinnedTrust, trustDocument } from '#agent/identity/device-trust.js';
import { type Gateway, gatewayAt, postToGateway } from '#agent/identity/gateway-request.js';
import { type Identity, identityDocument, pendingEnrolmentDocument } from '#agent/identity/identity.js';
import { checkOwnCertificate } from '#agent/identity/own-certificate.js';
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
  const { workspace, secret } = token.value;
  if (device !== undefined) requireName(device);
  const document = identityDocument(folder.identity);
  if (!input.replace) await requireNoIdentity(document, folder);

  const url = parseUrl(input.url ?? token.value.url);
  const server = gatewayAt(url, input.proxy);
  const authority = await fetchPinnedAuthority(server, token.value.authority);

  const pending = pendingEnrolmentDocument(folder.pendingEnrolment);
  const keys = await keysFor(pending, workspace, device);
  const subject = device === undefined ? workspace : clientIdOf({ workspace, device });
  const request: EnrolmentRequest = {
    workspace,
    secret,
    ...(device === undefined ? {} : { device }),
    csr: await signingRequestFor(keys.privateKey, subject),
    sealingKey: sealingPublicKey(keys.sealingKey),
    ...(input.hardwareId === undefined ? {} : { hardwareId: input.hardwareId }),
    tags: { ...input.tags },
    capabilities: input.capabilities,
  };
  // No signed time is known yet: the pin alone says whom to believe.
  const expected = { authorities: [authority], name: controlPlaneServerName, trustedNow: Number.NEGATIVE_INFINITY };
  const answer = await ask({ ...server, expected }, request, input, clock);
  checkAnswer(answer, { token: token.value, device, keys, authority });
  const identity: Identity = {
    schema: 2,
    workspace,
    device: answer.device,
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
  await new StateDocuments(folder, () => undefined).raiseBootId(answer.bootIdAbove);
  const { director, publishers } = token.value;
  await trustDocument(folder.trust).write(pinnedTrust({ directors: [director], publishers, authorities: [authority] }));
  await document.write(identity);
  await pending.remove();
  return identity;
}

const answerSchema = z.union([enrolmentPendingSchema, enrolmentResponseSchema]);

/** Until the server answers, where it says that it will: the same request, with the same keys, is the same device. */
async function ask(
  gateway: Gateway,
  request: EnrolmentRequest,
  { onWaiting }: EnrolInput,
  clock: Clock,
): Promise<EnrolmentResponse> {
  for (;;) {
    let waitSeconds: number;
    let what: string;
    try {
      const answer = await postToGateway(gateway, '/v1/enrol', request, answerSchema);
      if (!('state' in answer)) return answer;
      waitSeconds = answer.retryAfterSeconds;
      what = 'somebody must approve this device: flotilla device claim pending lists it';
      if (onWaiting === undefined) throw new AppError('enrolment.pending', `${what}; then run the same command again`);
    } catch (error) {
      if (onWaiting === undefined || !(error instanceof AppError) || error.code !== 'rate.limited') throw error;
      const after = error.details['retryAfterSeconds'];
      waitSeconds = typeof after === 'number' && after >= 1 && after <= 3600 ? after : 5;
      what = error.message;
    }
    onWaiting(what, waitSeconds);
    await clock.sleep(waitSeconds * 1000);
  }
}

function checkAnswer(
  answer: EnrolmentResponse,
  asked: {
    readonly token: EnrolmentToken;
    readonly device: string | undefined;
    readonly keys: DeviceKeys;
    readonly authority: string;
  },
): void {
  const { token, keys, authority } = asked;
  const device = asked.device ?? answer.device;
  const mismatch = (what: string): AppError => new AppError('enrolment.pin-mismatch', `${what}; nothing of it is kept`);
  if (answer.director !== token.director) {
    throw mismatch("the director's key of the server is not the one that the token pins");
  }
  const commonName = clientIdOf({ workspace: token.workspace, device });
  if (answer.device !== device || answer.workspace !== token.workspace) {
    throw mismatch(`the server enrolled ${answer.workspace}/${answer.device}, not ${commonName}`);
  }
  const { privateKey } = keys;
  const checked = checkOwnCertificate(answer.certificate, { commonName, privateKey, authorities: [authority] });
  if (!checked.ok) throw mismatch(`the certificate that the server gave is refused: ${checked.error}`);
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
