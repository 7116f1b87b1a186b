/**
 * What a device remembers when it starts: what it committed to, what it was told to run, what it refused
 * and which commands it took. What is damaged is named, and the device goes on without it.
 */
import type { Clock } from '#shared/kernel/clock.js';
import type { Desired } from '#shared/protocol/desired.js';
import { CommandJournal } from '#agent/commands/command-journal.js';
import type { TrustSource } from '#agent/identity/device-trust.js';
import type { Identity } from '#agent/identity/identity.js';
import { KeptDesired } from '#agent/link/kept-desired.js';
import { TrustedTime } from '#agent/link/trusted-clock.js';
import { CommittedState, nothingCommitted } from '#agent/store/committed-state.js';
import { LocalHolds } from '#agent/store/local-holds.js';
import { ProbationJournal } from '#agent/store/probation-journal.js';
import { RejectionLog } from '#agent/store/rejection-log.js';
import type { StateDocuments } from '#agent/store/state-documents.js';
import type { StateFolder } from '#agent/store/state-folder.js';

export interface MemorySources {
  readonly clock: Clock;
  readonly identity: Identity;
  readonly trust: TrustSource;
  readonly folder: StateFolder;
  readonly documents: StateDocuments;
  readonly onDamage: (what: string) => void;
  readonly onBug: (error: unknown) => void;
}

export interface DeviceMemory {
  readonly committed: CommittedState;
  readonly rejections: RejectionLog;
  readonly probations: ProbationJournal;
  readonly holds: LocalHolds;
  readonly keptDesired: KeptDesired;
  /** What {@link keptDesired} held at the start. */
  readonly kept: Desired | undefined;
  readonly journal: CommandJournal;
  /** Goes on from the latest signed time that any of them carries. */
  readonly time: TrustedTime;
}

export async function recallDevice(sources: MemorySources): Promise<DeviceMemory> {
  const { clock, identity, trust, folder, documents, onDamage, onBug } = sources;
  const committed = new CommittedState(
    documents.committed,
    (await documents.readOrLose(documents.committed)) ?? nothingCommitted,
  );
  const rejections = await RejectionLog.open(documents, onBug);
  const probations = await ProbationJournal.open(documents);
  const holds = await LocalHolds.open(documents);
  const keptDesired = new KeptDesired(documents, identity, trust, clock);
  const kept = await keptDesired.read(onDamage);
  const journal = await CommandJournal.open(folder.commands, (path) =>
    onDamage(`${path}: a command's record is damaged`),
  );
  const time = new TrustedTime(clock);
  if (journal.latestIssuedAt !== undefined) time.verified(journal.latestIssuedAt);
  if (kept !== undefined) time.verified(Date.parse(kept.issuedAt));
  return { committed, rejections, probations, holds, keptDesired, kept, journal, time };
}
