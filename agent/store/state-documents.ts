/**
 * The small documents that make up the device's memory. Each survives a power cut at any instant; one
 * that is damaged beyond its predecessor costs what it held and nothing more, and `damaged` names it.
 */
import { readdir } from 'node:fs/promises';
import * as z from 'zod';
import { AppError, type ErrorCode, isErrorCode, type Problem } from '#shared/kernel/errors.js';
import { JsonDocument } from '#shared/platform/atomic-file.js';
import { desiredModuleSchema } from '#shared/protocol/desired.js';
import { envelopeSchema } from '#shared/protocol/envelope.js';
import { counterSchema, instantSchema, nameSchema, problemSchema } from '#shared/protocol/primitives.js';
import type { Lived } from '#agent/store/lived-time.js';
import type { StateFolder } from '#agent/store/state-folder.js';
import { spooledBootOf } from '#agent/telemetry/spool-folder.js';

/** A problem that we wrote ourselves, so its code is one of ours, or of a newer agent's. */
const ownProblemSchema = problemSchema.transform(
  ({ code, message, details }): Problem => ({
    code: isErrorCode(code) ? code : ('internal' satisfies ErrorCode),
    message,
    ...(details === undefined ? {} : { details }),
  }),
);

const acceptedDesiredSchema = z.object({ envelope: envelopeSchema, acceptedAt: instantSchema });
export type AcceptedDesired = z.infer<typeof acceptedDesiredSchema>;

const committedModuleSchema = z.object({
  desired: desiredModuleSchema,
  /** What came over the network for it, kept for the report. */
  numbers: z.record(z.string(), z.number()).default({}),
});
export type CommittedModule = z.infer<typeof committedModuleSchema>;

const committedSchema = z.object({
  generation: counterSchema,
  modules: z.record(nameSchema, committedModuleSchema),
  /** What each module was before, the latest first: kept on disk, for a return without network. */
  kept: z.record(nameSchema, z.array(desiredModuleSchema)).default({}),
});
export type Committed = z.infer<typeof committedSchema>;

const rejectionSchema = z.object({ key: z.string(), problem: ownProblemSchema });

const rejectionsSchema = z.object({
  generation: counterSchema,
  modules: z.record(nameSchema, rejectionSchema),
  /** By module too. */
  shadows: z.record(nameSchema, rejectionSchema).optional(),
});
export type Rejections = z.infer<typeof rejectionsSchema>;

const probationSchema = z.object({
  generation: counterSchema,
  modules: z.record(nameSchema, z.string()),
  /** How often it was begun and neither came to an end nor was left in order. */
  begun: z.int().min(0),
});
export type ProbationEntry = z.infer<typeof probationSchema>;

const holdsSchema = z.object({ generation: counterSchema, modules: z.record(nameSchema, desiredModuleSchema) });
export type Holds = z.infer<typeof holdsSchema>;

const bootSchema = z.object({ bootId: counterSchema });

const livedSchema = z.object({
  machine: z.object({ bootId: z.string(), uptimeSeconds: counterSchema }),
  livedSeconds: counterSchema,
});

export class StateDocuments {
  readonly desired: JsonDocument<AcceptedDesired>;
  readonly committed: JsonDocument<Committed>;
  readonly rejections: JsonDocument<Rejections>;
  readonly probation: JsonDocument<ProbationEntry>;
  readonly holds: JsonDocument<Holds>;
  readonly lived: JsonDocument<Lived>;
  private readonly boot: JsonDocument<{ bootId: number }>;

  constructor(
    private readonly folder: StateFolder,
    /** Told once for each document that could not be read as it was left. */
    private readonly damaged: (path: string, what: string) => void,
  ) {
    this.desired = new JsonDocument(folder.desired, (value) => acceptedDesiredSchema.parse(value));
    this.committed = new JsonDocument(folder.committed, (value) => committedSchema.parse(value));
    this.rejections = new JsonDocument(folder.rejections, (value) => rejectionsSchema.parse(value));
    this.probation = new JsonDocument(folder.probation, (value) => probationSchema.parse(value));
    this.holds = new JsonDocument(folder.holds, (value) => holdsSchema.parse(value));
    this.lived = new JsonDocument(folder.lived, (value) => livedSchema.parse(value));
    this.boot = new JsonDocument(folder.boot, (value) => bootSchema.parse(value));
  }

  /** The document, or undefined when there is none or it is lost. */
  async readOrLose<T>(document: JsonDocument<T>): Promise<T | undefined> {
    try {
      const read = await document.read();
      if (read?.recovered) this.damaged(document.path, 'damaged; its predecessor is used');
      return read?.value;
    } catch (error) {
      if (!(error instanceof AppError) || error.code !== 'state.corrupt') throw error;
      this.damaged(document.path, 'damaged beyond repair; the device goes on without it');
      return undefined;
    }
  }

  /**
   * Raises the boot counter and has it on disk before it is used. A lost or stepped-back counter must
   * not repeat a number that the cloud has seen: then it goes on above all that is spooled, and above
   * the time in seconds, which no counted number reaches.
   */
  async nextBootId(wallSeconds: number): Promise<number> {
    let last: number;
    try {
      const read = await this.boot.read();
      // The predecessor of a counter is one too low.
      last = read === undefined ? 0 : read.recovered ? read.value.bootId + 1 : read.value.bootId;
      if (read?.recovered) this.damaged(this.folder.boot, 'damaged; its predecessor is used');
    } catch (error) {
      if (!(error instanceof AppError) || error.code !== 'state.corrupt') throw error;
      this.damaged(this.folder.boot, 'damaged beyond repair; the boot counter goes on from the time');
      last = Math.floor(wallSeconds);
    }
    const bootId = Math.max(last, await this.highestSpooledBoot()) + 1;
    await this.boot.write({ bootId });
    return bootId;
  }

  /** No boot from now on has a number up to this: another machine of this name had them. */
  async raiseBootId(above: number): Promise<void> {
    const last = (await this.boot.read().catch(() => undefined))?.value.bootId ?? 0;
    if (above > last) await this.boot.write({ bootId: above });
  }

  private async highestSpooledBoot(): Promise<number> {
    const names = [...(await readdir(this.folder.spool('telemetry'))), ...(await readdir(this.folder.spool('events')))];
    return names.reduce((highest, name) => Math.max(highest, spooledBootOf(name) ?? 0), 0);
  }
}
