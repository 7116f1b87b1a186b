/**
 * Versions that a person at the device went back to. Each is followed instead of what is desired, until
 * another generation says something; it survives restarts.
 */
import type { Problem } from '#shared/kernel/errors.js';
import { type Desired, type DesiredModule, type ImageReference, updatePolicyOf } from '#shared/protocol/desired.js';
import { entry } from '#agent/reconcile/observed.js';
import type { Holds, StateDocuments } from '#agent/store/state-documents.js';

export interface HeldModule {
  /** What is desired and not followed. */
  readonly image: ImageReference;
  readonly problem: Problem;
}

export class LocalHolds {
  private desired: Desired | undefined;

  private constructor(
    private readonly documents: StateDocuments,
    private current: Holds,
  ) {}

  static async open(documents: StateDocuments): Promise<LocalHolds> {
    const read = await documents.readOrLose(documents.holds);
    return new LocalHolds(documents, read ?? { generation: 0, modules: {} });
  }

  /** @returns the document as this device follows it */
  follow(desired: Desired): Desired {
    this.desired = desired;
    return this.followed(desired);
  }

  /** As the control plane wrote it. */
  wanted(module: string): DesiredModule | undefined {
    return this.desired && entry(this.desired.modules, module);
  }

  /** On disk when it resolves. @returns the document to follow from now on */
  async hold(desired: Desired, name: string, version: DesiredModule): Promise<Desired> {
    const { generation } = desired;
    const next: Holds = { generation, modules: { ...this.of(generation), [name]: version } };
    await this.documents.holds.write(next);
    this.current = next;
    return this.followed(this.desired ?? desired);
  }

  get held(): Readonly<Record<string, HeldModule>> {
    const { desired } = this;
    if (desired === undefined) return {};
    const held: Record<string, HeldModule> = {};
    for (const [name, version] of Object.entries(this.of(desired.generation))) {
      const wanted = entry(desired.modules, name);
      if (wanted === undefined) continue;
      const message = `a person at the device went back to version ${String(version.image.version)} with "flotilla-agent rollback"; it stays until the next generation`;
      held[name] = { image: wanted.image, problem: { code: 'module.held', message } };
    }
    return held;
  }

  private of(generation: number): Holds['modules'] {
    return this.current.generation === generation ? this.current.modules : {};
  }

  /** Image and settings of the held version, under the policies of today. It has proved itself before: it is not watched. */
  private followed(desired: Desired): Desired {
    const modules = { ...desired.modules };
    for (const [name, version] of Object.entries(this.of(desired.generation))) {
      const wanted = entry(modules, name);
      if (wanted === undefined) continue;
      const { probation: _none, atomic: _alone, ...update } = updatePolicyOf(wanted);
      modules[name] = { ...wanted, image: version.image, settings: version.settings, update };
    }
    return { ...desired, modules };
  }
}
