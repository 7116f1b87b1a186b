/** What people ask of shifts: to start one, and to pause, resume or abort it. */
import { toInstant, type Clock } from '#shared/kernel/clock.js';
import { AppError } from '#shared/kernel/errors.js';
import type { Database } from '#cloud/fleet/device-repository.js';
import type { LiveEvents } from '#cloud/live/live-events.js';
import type { Endpoint } from '../control/endpoint-model.js';
import { EndpointRepository } from '../control/endpoint-repository.js';
import { ServiceDeploymentRepository } from '../control/service-deployment-repository.js';
import type { ServicesDocument } from '../control/services-document.js';
import { afterPause, afterResume, requireOpen, type ShiftOrder } from './apply.js';
import { beginShift } from './begin.js';
import { overtakenBy } from './overtaken.js';
import { returning } from './plan.js';
import { commitShiftStep, noteEntry, presentOf } from './shift-commit.js';
import { publishShift } from './shift-controller.js';
import { stagesOf } from './shift-model.js';
import type { ShiftPolicy } from './shift-policy.js';
import { type ShiftEntry, ShiftRepository, type StoredShift } from './shift-repository.js';

export interface ShiftOfficeOptions {
  readonly db: Database;
  readonly document: ServicesDocument;
  readonly live: LiveEvents;
  readonly clock: Clock;
  /** Told after each change: shifts are to be looked at. */
  readonly onChanged: () => void;
}

export interface ShiftStart {
  /** The deployment that is to answer everything. */
  readonly to: string;
  readonly policy: ShiftPolicy;
  /** Whose order it is. */
  readonly by: string;
}

const triesAtOnce = 5;

export class ShiftOffice {
  constructor(private readonly options: ShiftOfficeOptions) {}

  /** @throws AppError `endpoint.*`, `deployment.not-found`, `request.invalid`, `shift.conflict` while another is under way */
  async start(workspace: string, endpointName: string, { to, policy, by }: ShiftStart): Promise<StoredShift> {
    const now = this.options.clock.now();
    const at = toInstant(now);
    const stored = await this.options.db.transaction().execute(async (transaction) => {
      const endpoint = await new EndpointRepository(transaction).require(workspace, endpointName);
      const shifts = new ShiftRepository(transaction);
      const open = await shifts.openOf(endpoint.id);
      if (open !== undefined) throw conflict(endpoint, open);
      const deployments = await new ServiceDeploymentRepository(transaction).current(endpoint.id);
      const made: StoredShift = {
        ...{ workspace, endpoint: endpoint.id, number: await shifts.nextNumber(endpoint.id), policy, revision: 1 },
        shift: beginShift({ endpoint, deployments, to, policy, now }),
        ...{ createdAt: at, createdBy: by, updatedAt: at },
      };
      await shifts.insert(made);
      await noteEntry(transaction, made, { at, kind: 'started', text: startText(made) });
      return made;
    });
    this.changed(stored, { at, kind: 'started', text: startText(stored) });
    return stored;
  }

  /** @throws AppError `shift.not-found`, `shift.state`, `shift.conflict` */
  async order(endpoint: Endpoint, number: number, order: ShiftOrder, by: string): Promise<StoredShift> {
    const { db } = this.options;
    // A step of its own may come between: who is in a hurry need not ask twice.
    for (let tries = 0; tries < triesAtOnce; tries++) {
      const before = await new ShiftRepository(db).require(endpoint, number);
      requireOpen(before.shift);
      const after = order === 'abort' ? await this.abort(before, by) : await this.set(before, order, by);
      if (after !== undefined) return after;
    }
    throw changedMeanwhile(endpoint, number);
  }

  /** At once: whoever asks for it sees the weights of before when it is answered. */
  private async abort(stored: StoredShift, by: string): Promise<StoredShift | undefined> {
    const { db, document, clock, live, onChanged } = this.options;
    const present = await presentOf(db, stored.endpoint);
    const overtaken = overtakenBy(stored.shift, present);
    const reason = { code: 'requested', text: 'aborted by a person' } as const;
    const transition =
      overtaken === undefined
        ? returning(stored.shift, present, reason, 'aborted')
        : ({ kind: 'overtaken', reason: overtaken } as const);
    const step = { stored, transition, holds: [], verdicts: [], now: clock.now(), by };
    const committed = await commitShiftStep(db, document, step);
    for (const entry of committed?.entries ?? []) publishShift(live, committed?.stored ?? stored, entry);
    onChanged();
    return committed && { ...committed.stored, endedAt: toInstant(step.now) };
  }

  private async set(before: StoredShift, order: 'pause' | 'resume', by: string): Promise<StoredShift | undefined> {
    const now = this.options.clock.now();
    const entry = { at: toInstant(now), kind: order === 'pause' ? 'paused' : 'resumed', text: `by ${by}` };
    const shift = order === 'pause' ? afterPause(before.shift, now) : afterResume(before.shift, now);
    const stored = await this.options.db.transaction().execute(async (transaction) => {
      if (!(await new ShiftRepository(transaction).compareAndSet(before, shift, entry.at))) return undefined;
      const after = { ...before, shift, revision: before.revision + 1 };
      await noteEntry(transaction, after, entry);
      return after;
    });
    if (stored !== undefined) this.changed(stored, entry);
    return stored;
  }

  private changed(stored: StoredShift, entry: ShiftEntry): void {
    publishShift(this.options.live, stored, entry);
    this.options.onChanged();
  }
}

function startText({ shift, policy }: StoredShift): string {
  const { target } = shift;
  const stages = stagesOf(policy).map(
    ({ kind, percent }) => `${kind === 'mirror' ? 'copies of ' : ''}${String(percent)}%`,
  );
  return `${target.deployment} (${target.module}:${String(target.version)}) by ${stages.join(', ')}`;
}

function conflict({ name }: Endpoint, { number, shift }: StoredShift): AppError {
  return new AppError(
    'shift.conflict',
    `shift ${String(number)} of ${name} to ${shift.target.deployment} is ${shift.state}: wait for it, or flotilla endpoint shift abort ${name}`,
    { details: { shift: number } },
  );
}

function changedMeanwhile({ name }: Endpoint, number: number): AppError {
  return new AppError(
    'shift.conflict',
    `shift ${String(number)} of ${name} was changed at the same moment: look, then try again`,
  );
}
