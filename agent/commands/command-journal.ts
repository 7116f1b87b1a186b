/**
 * Remembers every command by its id, with its answer, across restarts: an operation is run at most
 * once, and a repeated request gets the same answer. One file a command.
 */
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { JsonDocument } from '#shared/platform/atomic-file.js';
import { commandResponseSchema, type CommandResponse } from '#shared/protocol/commands.js';
import { instantSchema } from '#shared/protocol/primitives.js';
import { isCommandId } from '#shared/protocol/topics.js';

const entrySchema = z.object({
  issuedAt: instantSchema,
  deadline: instantSchema,
  response: commandResponseSchema.optional(),
});
type Entry = z.infer<typeof entrySchema>;

export type JournalAnswer =
  | { readonly kind: 'new' }
  /** Begun and not answered: under way, or cut off by the end of an earlier process. */
  | { readonly kind: 'begun' }
  | { readonly kind: 'answered'; readonly response: CommandResponse };

const keptAnswered = 500;

export class CommandJournal {
  private constructor(
    private readonly folder: string,
    private readonly entries: Map<string, Entry>,
  ) {}

  /** @param onDamaged told of entries that cannot be read; their commands count as begun */
  static async open(folder: string, onDamaged: (path: string) => void): Promise<CommandJournal> {
    const entries = new Map<string, Entry>();
    for (const name of await readdir(folder)) {
      const id = name.endsWith('.json') ? name.slice(0, -'.json'.length) : undefined;
      if (id === undefined || !isCommandId(id)) continue;
      try {
        const read = await documentAt(folder, id).read();
        if (read !== undefined) entries.set(id, read.value);
      } catch {
        onDamaged(join(folder, name));
        const never = '1970-01-01T00:00:00.000Z';
        entries.set(id, { issuedAt: never, deadline: never });
      }
    }
    return new CommandJournal(folder, entries);
  }

  /** The latest signed time that any command here carried. */
  get latestIssuedAt(): number | undefined {
    const times = [...this.entries.values()].map(({ issuedAt }) => Date.parse(issuedAt));
    return times.length === 0 ? undefined : Math.max(...times);
  }

  look(id: string): JournalAnswer {
    const entry = this.entries.get(id);
    if (entry === undefined) return { kind: 'new' };
    return entry.response === undefined ? { kind: 'begun' } : { kind: 'answered', response: entry.response };
  }

  /** On disk when it resolves: only then may the operation begin. */
  async begin(id: string, times: { readonly issuedAt: string; readonly deadline: string }): Promise<void> {
    const entry: Entry = { issuedAt: times.issuedAt, deadline: times.deadline };
    this.entries.set(id, entry);
    await documentAt(this.folder, id).write(entry);
  }

  async answer(response: CommandResponse): Promise<void> {
    const begun = this.entries.get(response.id);
    if (begun === undefined) throw new Error(`command ${response.id} was not begun`);
    const entry: Entry = { ...begun, response };
    this.entries.set(response.id, entry);
    await documentAt(this.folder, response.id).write(entry);
    await this.prune();
  }

  /**
   * The oldest go, but none that could still be in time. A command that went is not run again: the
   * latest issue time, which is kept and which the trusted time never goes back behind, is past its
   * deadline.
   */
  private async prune(): Promise<void> {
    const answered = [...this.entries].filter(([, entry]) => entry.response !== undefined);
    const surplus = answered.length - keptAnswered;
    if (surplus <= 0) return;
    const knownMs = this.latestIssuedAt ?? Number.NEGATIVE_INFINITY;
    const oldest = answered
      .sort(([, a], [, b]) => (a.deadline < b.deadline ? -1 : 1))
      .slice(0, surplus)
      .filter(([, { deadline }]) => Date.parse(deadline) <= knownMs);
    for (const [id] of oldest) {
      await documentAt(this.folder, id).remove();
      await rm(join(this.folder, `${id}.json.new`), { force: true });
      this.entries.delete(id);
    }
  }
}

function documentAt(folder: string, id: string): JsonDocument<Entry> {
  return new JsonDocument(join(folder, `${id}.json`), (value) => entrySchema.parse(value));
}
