/** Looks at a device from outside the agent: what lies on disk, and what a running agent says. */
import { stat } from 'node:fs/promises';
import type { Clock } from '#shared/kernel/clock.js';
import { decodeJson } from '#shared/protocol/decode.js';
import type { AgentConfig } from '#agent/config.js';
import { trustDocument } from '#agent/identity/device-trust.js';
import { identityDocument } from '#agent/identity/identity.js';
import { askAgent } from '#agent/local/local-client.js';
import { localSocketOf } from '#agent/local/local-socket.js';
import type { StatusView } from '#agent/local/explanation.js';
import { StateDocuments } from '#agent/store/state-documents.js';
import { stateFolder } from '#agent/store/state-folder.js';
import { type Check, type NamedFinding, runChecks } from './finding.js';
import { type CheckSubject, deviceChecks } from './checks.js';

/** Of one check. */
const deadlineMs = 15_000;

export async function lookAt(config: AgentConfig, clock: Clock): Promise<CheckSubject> {
  const folder = stateFolder(config.stateDir);
  const read = async <T>(document: { read(): Promise<{ value: T } | undefined> }): Promise<T | undefined> =>
    (await document.read().catch(() => undefined))?.value;
  const identityMode = (await stat(folder.identity).catch(() => undefined))?.mode;
  const kept = await read(new StateDocuments(folder, () => undefined).desired);
  return {
    folder,
    reserveBytes: config.disk.reserveBytes,
    identity: await read(identityDocument(folder.identity)),
    identityMode,
    trust: await read(trustDocument(folder.trust)),
    signedAtMs: kept === undefined ? undefined : issuedAtOf(kept.envelope.payload),
    status: (await askAgent(localSocketOf(config), '/status').catch(() => undefined)) as StatusView | undefined,
    proxy: config.link.proxy,
    clock,
  };
}

export function checkDevice(subject: CheckSubject, more: readonly Check[] = []): Promise<NamedFinding[]> {
  return runChecks([...deviceChecks(subject), ...more], deadlineMs, subject.clock);
}

/** Of a desired document that was verified before it was kept. */
function issuedAtOf(payload: string): number | undefined {
  const document = decodeJson(Buffer.from(payload, 'base64'));
  const issuedAt =
    document.ok && typeof document.value === 'object' && document.value !== null && 'issuedAt' in document.value
      ? Date.parse(String(document.value.issuedAt))
      : Number.NaN;
  return Number.isNaN(issuedAt) ? undefined : issuedAt;
}
