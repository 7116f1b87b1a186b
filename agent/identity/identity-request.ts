/**
 * From a token and keys to an identity, over the network: what enrolment asks the control plane, and what it checks of
 * the answer. Nothing is kept here.
 */
import * as z from 'zod';
import { type Clock, toInstant } from '#shared/kernel/clock.js';
import { AppError } from '#shared/kernel/errors.js';
import {
  controlPlaneServerName,
  enrolmentPendingSchema,
  type EnrolmentRequest,
  enrolmentResponseSchema,
  type EnrolmentResponse,
  type EnrolmentToken,
} from '#shared/protocol/enrolment.js';
import type { Capabilities } from '#shared/protocol/reported.js';
import { clientIdOf } from '#shared/protocol/topics.js';
import { type DeviceKeys, sealingPublicKey, signingRequestFor } from '#agent/identity/device-keys.js';
import { type DeviceTrust, pinnedTrust } from '#agent/identity/device-trust.js';
import { type Gateway, postToGateway } from '#agent/identity/gateway-request.js';
import type { Identity } from '#agent/identity/identity.js';
import { checkOwnCertificate } from '#agent/identity/own-certificate.js';

export interface IdentityRequest {
  readonly token: EnrolmentToken;
  readonly server: Omit<Gateway, 'expected'>;
  /** The server's address as the identity keeps it. */
  readonly gateway: string;
  /** PEM; the token pins it. */
  readonly authority: string;
  readonly keys: DeviceKeys;
  /** Absent: the fleet claim names it. */
  readonly device?: string | undefined;
  readonly hardwareId?: string | undefined;
  readonly tags: Readonly<Record<string, string>>;
  readonly capabilities: Capabilities;
  /** Told what is waited for; absent: nothing is waited for. */
  readonly onWaiting?: ((what: string, retryAfterSeconds: number) => void) | undefined;
}

export interface GivenIdentity {
  readonly identity: Identity;
  readonly trust: DeviceTrust;
  /** No boot of this device may have a number up to this. */
  readonly bootIdAbove: number;
}

/** @throws AppError `enrolment.pin-mismatch`, and whatever the server says */
export async function askForIdentity(input: IdentityRequest, clock: Clock): Promise<GivenIdentity> {
  const { token, server, device, keys, authority } = input;
  const { workspace, secret, director, publishers } = token;
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
  checkAnswer(answer, { token, device, keys, authority });
  return {
    identity: {
      schema: 2,
      workspace,
      device: answer.device,
      gateway: input.gateway,
      broker: answer.broker,
      certificate: answer.certificate,
      privateKey: keys.privateKey,
      sealingKey: keys.sealingKey,
      enrolledAt: toInstant(clock.now()),
    },
    trust: pinnedTrust({ directors: [director], publishers, authorities: [authority] }),
    bootIdAbove: answer.bootIdAbove,
  };
}

const answerSchema = z.union([enrolmentPendingSchema, enrolmentResponseSchema]);

/** Until the server answers, where it says that it will: the same request, with the same keys, is the same device. */
async function ask(
  gateway: Gateway,
  request: EnrolmentRequest,
  { onWaiting }: IdentityRequest,
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
