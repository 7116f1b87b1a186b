/** Versions that were refused for good, kept on disk for the generation in which they were. */
import type { Problem } from '#shared/kernel/errors.js';
import { canonicalJson } from '#shared/protocol/canonical-json.js';
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

  /** On disk when it resolves. */
  record(
    generation: number,
    refused: readonly { readonly name: string; readonly key: string; readonly problem: Problem }[],
  ): Promise<void> {
    const added = Object.fromEntries(refused.map(({ name, key, problem }) => [name, { key, problem }]));
    return this.write({ generation, modules: { ...this.of(generation), ...added } });
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
    this.write({ generation: desired.generation, modules: Object.fromEntries(rejected.filter(isModule)) }).catch(
      this.onError,
    );
  }

  async settled(): Promise<void> {
    await this.writing.catch(() => undefined);
  }

  /** One after another; what is there already is not written again. */
  private write(next: Rejections): Promise<void> {
    const same = canonicalJson(next) === canonicalJson(this.current);
    this.current = next;
    const before = this.writing.then(
      () => true,
      () => false,
    );
    this.writing = before.then((written) => {
      if (!(same && written)) return this.documents.rejections.write(next);
    });
    return this.writing;
  }
}
