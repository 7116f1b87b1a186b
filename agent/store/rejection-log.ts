/** Versions that were refused for good, kept on disk for the generation in which they were. */
import type { Problem } from '#shared/kernel/errors.js';
import { canonicalJson } from '#shared/protocol/canonical-json.js';
import type { DeviceState } from '#agent/reconcile/device-state.js';
import type { Fact, Rejection } from '#agent/reconcile/fact.js';
import { shadowTrackOf, trackOwner } from '#agent/reconcile/shadows.js';
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

  /** By track. */
  of(generation: number): Readonly<Record<string, Rejection>> {
    if (this.current.generation !== generation) return {};
    const shadows = Object.entries(this.current.shadows ?? {}).map(
      ([name, one]) => [shadowTrackOf(name), one] as const,
    );
    return { ...this.current.modules, ...Object.fromEntries(shadows) };
  }

  /** On disk when it resolves. */
  record(
    generation: number,
    refused: readonly { readonly name: string; readonly key: string; readonly problem: Problem }[],
  ): Promise<void> {
    const added = Object.fromEntries(refused.map(({ name, key, problem }) => [name, { key, problem }]));
    const { modules, shadows } = byOwner({ ...this.of(generation), ...added });
    return this.write({ generation, modules, shadows });
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
    this.write({ generation: desired.generation, ...byOwner(Object.fromEntries(rejected)) }).catch(this.onError);
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

type Owned = Record<'modules' | 'shadows', Record<string, Rejection>>;

/** Prefetched images are nobody's: they are tried anew after a restart. */
function byOwner(rejections: Readonly<Record<string, Rejection>>): Owned {
  const found: Owned = { modules: {}, shadows: {} };
  for (const [track, rejection] of Object.entries(rejections)) {
    const owner = trackOwner(track);
    if (owner !== undefined) found[owner.shadow ? 'shadows' : 'modules'][owner.module] = rejection;
  }
  return found;
}
