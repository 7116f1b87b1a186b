/** Versions that were refused for good, kept on disk for the generation in which they were. */
import type { DeviceState } from '#agent/reconcile/device-state.js';
import type { Fact, Rejection } from '#agent/reconcile/fact.js';
import type { Rejections, StateDocuments } from '#agent/store/state-documents.js';

export class RejectionLog {
  private writing: Promise<void> = Promise.resolve();

  private constructor(
    private readonly documents: StateDocuments,
    private current: Rejections,
    private readonly onError: (error: unknown) => void,
  ) {}

  static async open(documents: StateDocuments, onError: (error: unknown) => void): Promise<RejectionLog> {
    const read = await documents.readOrLose(documents.rejections);
    return new RejectionLog(documents, read ?? { generation: 0, modules: {} }, onError);
  }

  get generation(): number {
    return this.current.generation;
  }

  of(generation: number): Readonly<Record<string, Rejection>> {
    return this.current.generation === generation ? this.current.modules : {};
  }

  /** Writes what a fact has rejected. */
  follow(fact: Fact, state: DeviceState): void {
    const { desired, observed } = state;
    if (fact.kind !== 'versionFailed' || desired === undefined) return;
    const rejected = Object.entries(observed.tracks).flatMap(([name, track]) =>
      track.state === 'rejected' && track.problem !== undefined
        ? [[name, { key: track.key, problem: track.problem }] as const]
        : [],
    );
    if (rejected.length === 0) return;
    const isModule = ([name]: readonly [string, unknown]): boolean => !name.startsWith('sha256:');
    this.current = { generation: desired.generation, modules: Object.fromEntries(rejected.filter(isModule)) };
    const next = this.current;
    this.writing = this.writing.then(() => this.documents.rejections.write(next)).catch(this.onError);
  }

  settled(): Promise<void> {
    return this.writing;
  }
}
