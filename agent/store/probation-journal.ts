/**
 * Which versions are on probation, on disk: a version that takes the agent or the machine down with it each
 * time leaves no other trace. One that was begun so often without an end is refused like one that failed.
 */
import type { Problem } from '#shared/kernel/errors.js';
import { canonicalJson } from '#shared/protocol/canonical-json.js';
import type { ServingSet } from '#agent/reconcile/observed.js';
import type { ProbationEntry, StateDocuments } from '#agent/store/state-documents.js';

/** Cut short so often, it is the version's doing. */
const maxCutShort = 3;

export class ProbationJournal {
  private constructor(
    private readonly documents: StateDocuments,
    private current: ProbationEntry | undefined,
  ) {}

  static async open(documents: StateDocuments): Promise<ProbationJournal> {
    return new ProbationJournal(documents, await documents.readOrLose(documents.probation));
  }

  /** Versions whose probation was cut short too often, for the generation that is followed. */
  refusedIn(generation: number): { readonly name: string; readonly key: string; readonly problem: Problem }[] {
    const { current } = this;
    if (current === undefined || current.generation !== generation || current.begun < maxCutShort) return [];
    const times = String(current.begun);
    const message = `the agent or the machine went down ${times} times while it was on probation`;
    return Object.entries(current.modules).map(([name, key]) => ({
      name,
      key,
      problem: { code: 'probation.failed', message, details: { cutShort: current.begun } },
    }));
  }

  /** On disk when it resolves: only then may the set answer. */
  async begin(generation: number, modules: ServingSet): Promise<void> {
    const { current } = this;
    const again =
      current !== undefined &&
      current.generation === generation &&
      canonicalJson(current.modules) === canonicalJson(modules);
    const entry: ProbationEntry = { generation, modules: { ...modules }, begun: again ? current.begun + 1 : 1 };
    await this.documents.probation.write(entry);
    this.current = entry;
  }

  /** It came to its end, or the agent is stopped in order. */
  async end(): Promise<void> {
    if (this.current === undefined) return;
    await this.documents.probation.remove();
    this.current = undefined;
  }
}
